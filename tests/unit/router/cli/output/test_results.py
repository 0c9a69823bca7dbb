"""How results are printed, and how commands end."""

import errno
import io
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest
import typer
from support.cli import Terminal
from typer.testing import CliRunner

from config.errors import ConfigError, RouterError
from router.cli.command.exits import Guarded, NothingMatched, Unanswered, complain
from router.cli.command.stdio import OutputFailed, shown_as
from router.cli.main import main
from router.cli.output.results import age, json_line, print_json, print_record, progress, stamp
from router.events.catalogue import UnknownStream
from router.store.errors import StoreRefused, StoreUnavailable


def test_record(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each field that has a value; a text of several lines is indented under its name."""
    print_record({"a": 1, "none": None, "false": False, "empty": "", "long": "x\ny"})
    assert capsys.readouterr().out == "a      1\nfalse  False\nlong\n    x\n    y\n"


def test_record_with_parts(capsys: pytest.CaptureFixture[str]) -> None:
    """What has parts is shown as JSON, as bodies are, and not as Python writes it."""
    print_record({"extra": {"lines": [None, True], "name": "x\ny"}})
    assert capsys.readouterr().out == 'extra  {"lines": [null, true], "name": "x\\ny"}\n'


HOSTILE = "a\x1b\x7f\x9b31m\u202e\u2066\u200b\u2028\u2029\ufeff\U000e0041\ud800 å\U0001f600"


@pytest.mark.parametrize("as_json", [json_line, print_json])
def test_json_commands_no_terminal(capsys: pytest.CaptureFixture[str], as_json: Callable[[object], str | None]) -> None:
    """What does not print is escaped in JSON: controls of both kinds, directions, what has no width, ends of lines."""
    text = as_json({HOSTILE: [HOSTILE, "plain"]}) or capsys.readouterr().out
    assert all(line.isprintable() for line in text.splitlines())
    assert json.loads(text) == {HOSTILE: [HOSTILE, "plain"]}
    assert "å\U0001f600" in text


def test_complaints_command_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """What is said on stderr may repeat what a sender or a server wrote: it is escaped there, too."""
    complain(f"no event {HOSTILE}\nnor another")
    lines = capsys.readouterr().err.split("\n")
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


def test_json_in_an_old_alphabet(monkeypatch: pytest.MonkeyPatch) -> None:
    r"""Where output knows ASCII alone, JSON stays JSON: `\xe5` and `\U0001f600`, as streams write, are none."""
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace"))
    assert json_line("å\U0001f600") == '"\\u00e5\\ud83d\\ude00"'


def test_what_an_alphabet_cannot_say() -> None:
    """A character of ours that an alphabet lacks is written as one like it, and one of a sender's by its number."""
    assert shown_as("id…─→\ufffdå", "ascii") == "id...-->?\\xe5"
    assert shown_as("…å", "latin-1") == "...å"
    assert shown_as("…å", "utf-8") == "…å"


@pytest.mark.parametrize(
    ("ago", "text"),
    [(-5, "0s"), (0, "0s"), (59, "59s"), (60, "1m"), (3_599, "59m"), (7_200, "2h"), (86_400 * 400, "400d")],
)
def test_age(monkeypatch: pytest.MonkeyPatch, ago: int, text: str) -> None:
    """An age is told in its largest unit; a clock that is ahead makes it no less than nothing."""
    now = datetime.now(UTC)

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return now

    monkeypatch.setattr("router.cli.output.results.datetime", Stopped)
    assert age(now - timedelta(seconds=ago)) == text


def test_stamp() -> None:
    """Times are ISO texts in UTC."""
    assert stamp(datetime(2025, 1, 1, tzinfo=UTC)) == "2025-01-01T00:00:00.000Z"
    assert stamp(None) is None


def test_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress is shown on a terminal and nowhere else."""
    for stream in (io.StringIO(), Terminal()):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        with progress("send", 10) as advance:
            advance(5)
            advance(5)
        assert ("send" in stream.getvalue()) is stream.isatty()


def _ends(error: BaseException) -> tuple[int, str]:
    app = typer.Typer(cls=Guarded)

    @app.command()
    def fail() -> None:
        raise error

    @app.command()
    def other() -> None:
        """Be there, so that `fail` is a command of its own."""

    result = CliRunner().invoke(app, ["fail"])
    return result.exit_code, result.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RouterError("no"), 1),
        (ConfigError("no"), 2),
        (UnknownStream("no"), 2),
        (NothingMatched("no"), 3),
        (StoreUnavailable("no"), 4),
        (Unanswered("no"), 4),
        (StoreRefused("no"), 4),
        (ConfigError("n\no"), 2),
    ],
)
def test_exit_codes(error: Exception, code: int) -> None:
    """Every error that a user can act on has an exit code, and is told in one line."""
    assert _ends(error) == (code, f"event-router: {' '.join(str(error).split())}\n")


def test_main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The command knows its version, and that it is not installed."""
    monkeypatch.setattr(sys, "argv", ["event-router", "--version"])
    monkeypatch.setattr(
        "router.cli.command.exits._own_process", False
    )  # restored: this process goes on after its command
    for distribution in ("pytest", "not-installed-at-all"):
        monkeypatch.setattr("router.telemetry.identity._DISTRIBUTION", distribution)
        with pytest.raises(SystemExit, match="0"):
            main()
    assert capsys.readouterr().out.splitlines() == [f"event-router {pytest.__version__}", "event-router unknown"]


def test_broken_pipe() -> None:
    """When the reader of the output has gone, the command ends quietly."""
    assert _ends(OutputFailed(BrokenPipeError(errno.EPIPE, "Broken pipe"))) == (0, "")


def test_output_that_is_full() -> None:
    """When the output takes nothing more, the command says so in one line and has partly failed."""
    said = "event-router: standard output cannot be written (No space left on device): what it holds is incomplete\n"
    assert _ends(OutputFailed(OSError(errno.ENOSPC, "No space left on device"))) == (1, said)


def test_interrupted() -> None:
    """Ctrl-C ends with the exit code that shells know, and without a traceback."""
    assert _ends(KeyboardInterrupt())[0] == 130


def test_bug() -> None:
    """An error that nobody foresaw is not hidden."""
    app = typer.Typer(cls=Guarded)

    @app.command()
    def fail() -> None:
        raise ZeroDivisionError

    app.command("other")(lambda: None)
    assert isinstance(CliRunner().invoke(app, ["fail"]).exception, ZeroDivisionError)
