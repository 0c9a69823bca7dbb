"""Rules of logging: one format for every logger, and nothing confidential in it."""

import contextvars
import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from multidict import CIMultiDict

from router.telemetry import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave logging as it was."""
    root = logging.getLogger()
    level = root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.setLevel(level)
    for handler in [known for known in root.handlers if known.name == "event-router"]:
        root.removeHandler(handler)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return what was logged as JSON since the last call; nothing may go to stdout."""
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_line_is_json_with_level_name_and_utc_time(capsys: pytest.CaptureFixture[str]) -> None:
    """A line names what happened, how severe it is, whose it is and when in UTC."""
    logs.configure()
    logs.get("router.x").info("stored", events=2)
    (line,) = lines(capsys)
    assert datetime.fromisoformat(line.pop("timestamp")).tzinfo == UTC
    assert line == {"event": "stored", "events": 2, "level": "info", "logger": "router.x"}


def test_standard_loggers_go_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    """Libraries' records become the same lines, extras included."""
    logs.configure()
    logging.getLogger("aiohttp.server").warning("odd %s", "request", extra={"peer": "::1", "password": "x"})
    (line,) = lines(capsys)
    expected = {
        "event": "odd request",
        "level": "warning",
        "logger": "aiohttp.server",
        "peer": "::1",
        "password": "***",
    }
    assert line.items() >= expected.items()


def test_level_holds_for_both_kinds_of_logger(capsys: pytest.CaptureFixture[str]) -> None:
    """What is below the level is not logged, and configuring again takes effect without doubling lines."""
    early = logs.get("early")
    logs.configure("debug")
    logs.configure("warning")
    early.info("no")
    logging.getLogger("asyncio").info("no")
    early.warning("yes")
    assert [line["event"] for line in lines(capsys)] == ["yes"]


def test_what_a_task_bound_is_in_its_lines_and_what_it_binds_next_replaces_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The fields of one delivery do not stay for the next; those of the line itself win."""

    def work() -> None:
        logs.bind({"event_id": "a", "attempt": 1})
        logs.get("worker").info("first", attempt=2)
        logs.bind({"event_id": "b"})
        logs.get("worker").info("second")

    logs.configure(format="json")
    contextvars.copy_context().run(work)
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["event_id"], first["attempt"]) == ("a", 2)
    assert (second["event_id"], "attempt" in second) == ("b", False)


def test_bound_context_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """Context bound once appears on every line."""
    logs.configure()
    structlog.contextvars.bind_contextvars(subscription="s")
    logs.get("x").info("done")
    assert lines(capsys)[0]["subscription"] == "s"


def test_confidential_values_are_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    """Values whose key names a secret are hidden at any depth and in any spelling."""
    logs.configure()
    headers = CIMultiDict({"X-VWD-Signature-V1": "hunter2", "Accept": "*"})
    nested = {"list": [({"password": "hunter2"},)], b"authorization": "hunter2"}
    logs.get("x").info("got", client_secret="hunter2", Headers=headers, nested=nested)
    (line,) = lines(capsys)
    assert "hunter2" not in json.dumps(line)
    assert line["Headers"] == {"X-VWD-Signature-V1": "***", "Accept": "*"}


class Hostile(dict[str, str]):
    """A mapping that cannot be read."""

    def items(self) -> Any:
        """Fail."""
        raise RuntimeError


def test_redacting_never_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a caller passes in, the line is written."""
    logs.configure()
    endless: list[object] = []
    endless.append(endless)
    logs.get("x").info("odd", endless=endless, hostile=Hostile(), thing=object(), keys={None: 1, (2,): 3})
    (line,) = lines(capsys)
    assert line["keys"] == {"None": 1, "(2,)": 3}
    assert "unreadable" in line["hostile"]


@pytest.mark.parametrize("style", ["json", "console"])
def test_traceback_shows_no_variables(capsys: pytest.CaptureFixture[str], style: str) -> None:
    """An exception is logged with its traceback and without the values of variables."""
    logs.configure(format=style)
    variable = "hunter" + str(1 + 1)
    try:
        int(variable[:6])
    except ValueError:
        logs.get("x").exception("failed")
    logging.getLogger("y").error("failed", exc_info=ValueError("again"))
    written = capsys.readouterr().err
    assert written.count("ValueError") >= 2
    assert "Traceback" in written
    assert "hunter2" not in written


@pytest.mark.parametrize(("terminal", "is_json"), [(True, False), (False, True)])
def test_auto_is_json_unless_on_a_terminal(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,  # noqa: FBT001  parametrized
    is_json: bool,  # noqa: FBT001
) -> None:
    """People get readable lines, programs get JSON."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    logs.configure(format="auto")
    logs.get("x").info("hello", secret="hunter2")
    written = capsys.readouterr().err
    assert written.startswith("{") is is_json
    assert "hunter2" not in written


HOSTILE = "a\x1b]0;title\x07\x7f\x9b31m\u202e\u2066\u200b\u2028"


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_line_commands_no_terminal(capsys: pytest.CaptureFixture[str], style: str) -> None:
    """What senders wrote reaches a terminal escaped wherever in a line it is: values, names, errors, and libraries'."""
    logs.configure(format=style)
    error = ValueError(HOSTILE)
    fields = {"value": HOSTILE, "many": [HOSTILE], "within": {HOSTILE: HOSTILE}, HOSTILE: 1}
    logs.get("x").error(HOSTILE, exc_info=error, **fields)
    logging.getLogger("y").warning("said %s", HOSTILE)
    written = capsys.readouterr().err
    plain = re.sub(r"\x1b\[[0-9;]*m", "", written) if style == "console" else written
    assert [line for line in plain.split("\n") if not line.isprintable()] == []
    assert "title" in plain
    if style == "json":
        assert json.loads(plain.split("\n")[0])["value"] == HOSTILE
