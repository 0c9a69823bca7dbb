"""Ending a process in time: what is watched, and by whom. Real processes: tests/integration/test_leaving.py."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from config.errors import ConfigError
from router.cli.command.leaving import Leaving


class Ended(list[int]):
    """The exit codes that this process would have ended with."""

    def __init__(self) -> None:
        self.came = threading.Event()

    def end(self, code: int) -> None:
        """Stand in for the end of the process."""
        self.append(code)
        self.came.set()


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ended]:
    """Return how this process would have ended, while it is one that ends with its command."""
    found = Ended()
    monkeypatch.setattr("router.cli.command.leaving.os._exit", found.end)
    monkeypatch.setattr("router.cli.command.leaving.is_own_process", lambda: True)
    monkeypatch.setattr("router.cli.command.leaving._LEAST", 0.05)
    yield found
    for thread in threading.enumerate():
        if thread.name == "leaving":
            thread.join(10)


async def look_up(left: threading.Event) -> None:
    """Leave a look-up behind that nobody can stop."""
    asyncio.get_running_loop().run_in_executor(None, left.wait, 10)


def test_a_loop_that_does_not_close_ends(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is still being looked up does not keep a process that has ended."""
    left = threading.Event()
    monkeypatch.setattr("router.cli.command.leaving.os._exit", lambda code: (ended.end(code), left.set()))
    with capture_logs() as logged:
        Leaving("test").run(look_up(left))
    assert ended == [0]
    assert [line["event"] for line in logged] == ["ended_with_what_is_alive"]


def test_what_comes_after_the_command_is_watched(ended: Ended) -> None:
    """The interpreter may wait for ever, too; the exit code is that of the work."""

    async def work() -> int:
        return 5

    assert Leaving("test").run(work()) == 5
    assert ended.came.wait(10)
    assert ended == [5]


def test_an_error_gives_its_exit_code(ended: Ended) -> None:
    """Work that failed ends as its error says."""

    async def work() -> None:
        raise ConfigError("wrong")

    with pytest.raises(ConfigError):
        Leaving("test").run(work())
    assert ended.came.wait(10)
    with pytest.raises(ConfigError), Leaving("test").after_failure():
        raise ConfigError("wrong")
    assert ended[0] == 2


def test_a_command_inside_another_process_ends_nothing(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the command is not the process, as in a test, what comes after it is none of its business."""
    monkeypatch.setattr("router.cli.command.leaving.is_own_process", lambda: False)
    Leaving("test", 3600).run(asyncio.sleep(0))
    for thread in threading.enumerate():
        if thread.name == "leaving":
            thread.join(10)
            assert not thread.is_alive()
    assert ended == []


@pytest.mark.usefixtures("signals_put_back")
def test_the_time_begins_with_the_request(ended: Ended) -> None:
    """What is left of the time-out when the work has ended is for what still runs, and it is said at once."""

    async def work(stop: asyncio.Event) -> None:
        stop.set()
        await stop.wait()

    with capture_logs() as logged:
        Leaving("test", 0.5).serve(work)
        assert ended.came.wait(10)
    assert [line["event"] for line in logged] == ["waiting_for_what_is_alive", "ended_with_what_is_alive"]
    assert logged[0]["seconds"] <= 0.5
