"""Rules of the supervisor: children run as long as they are wanted, and never longer than their parent."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import uvloop
from structlog.testing import capture_logs

from router.process.signals import PARENT_FD, install_stop, watch_parent
from router.process.supervisor import ChildSpec, Supervisor
from router.tasks.backoff import RestartDelay
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
QUICK = RestartDelay(first=0.01, maximum=0.02)
# A well-behaved child: writes its pid when it is ready, and stops when it is told to or when its parent is gone.
CHILD = """
import asyncio, os, sys
from router.process.signals import install_stop, watch_parent

async def main():
    stop = asyncio.Event()
    assert watch_parent(stop.set)
    install_stop(stop, supervised=True)
    with open(sys.argv[1], "a") as file:
        print(os.getpid(), file=file)
    await stop.wait()

asyncio.run(main())
"""
STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(sys.argv[1], "a") as file:
    print(os.getpid(), file=file)
time.sleep(60)
"""
PARENT = """
import asyncio, sys
from router.process.signals import install_stop
from router.process.supervisor import ChildSpec, Supervisor

async def main():
    stop = asyncio.Event()
    children = [ChildSpec(str(n), [sys.executable, "-c", sys.argv[2], sys.argv[1]]) for n in range(2)]
    supervisor = Supervisor(children)
    install_stop(stop, force=supervisor.kill)
    return await supervisor.run(stop)

sys.exit(asyncio.run(main()))
"""
WAITER = """
import asyncio, sys
from router.process.signals import install_stop

async def main():
    stop = asyncio.Event()
    install_stop(stop)
    print("ready", flush=True)
    await stop.wait()
    print("stopping", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


class Pids:
    """The processes that wrote themselves into a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def all(self) -> list[int]:
        """Return every process that has been ready, oldest first."""
        return [int(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []

    def alive(self) -> list[int]:
        """Return those that run."""
        return [pid for pid in self.all() if alive(pid)]


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and waits for its parent does not."""
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat")
        return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.fixture
def pids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pids]:
    """Return the children of this test; none of them outlives it."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    found = Pids(tmp_path / "pids")
    yield found
    for pid in found.alive():
        os.kill(pid, signal.SIGKILL)


def spec(script: str, *arguments: object, name: str = "child") -> ChildSpec:
    """Return a child that runs a Python script."""
    return ChildSpec(name, [sys.executable, "-c", script, *map(str, arguments)])


def events(logged: list[MutableMapping[str, Any]], event: str) -> list[MutableMapping[str, Any]]:
    """Return the lines of one kind."""
    return [line for line in logged if line["event"] == event]


async def test_a_child_that_is_added(pids: Pids, tmp_path: Path) -> None:
    """One more child is kept running; where it refuses to start, the others go on, and it may be added again."""
    stop, refuses = asyncio.Event(), "import sys; sys.exit(2)"
    supervisor = Supervisor([ChildSpec("first", [sys.executable, "-c", CHILD, str(pids.file)])], backoff=QUICK)
    running = asyncio.create_task(supervisor.run(stop))
    await eventually(lambda: len(pids.alive()) == 1)
    with capture_logs() as logged:
        supervisor.add(ChildSpec("more", [sys.executable, "-c", refuses]))
        await eventually(lambda: [line for line in logged if line["event"] == "child_refused_to_start"])
    good = ChildSpec("more", [sys.executable, "-c", CHILD, str(pids.file)])

    def added() -> bool:
        supervisor.add(good)
        return len(pids.alive()) == 2

    await eventually(added)
    supervisor.add(good)
    os.kill(pids.all()[-1], signal.SIGKILL)
    await eventually(lambda: len(pids.all()) == 3 and len(pids.alive()) == 2)
    stop.set()
    assert await running == 0
    assert pids.alive() == []


async def test_children_run_until_stopped(pids: Pids) -> None:
    """All children run at the same time; on stop they are told to end, and the code is 0."""
    stop = asyncio.Event()
    supervisor = Supervisor([spec(CHILD, pids.file, name=name) for name in ("a", "b")])
    running = asyncio.create_task(supervisor.run(stop))
    await eventually(lambda: len(pids.alive()) == 2)
    stop.set()
    assert await running == 0
    assert pids.alive() == []


def test_runs_on_uvloop(pids: Pids) -> None:
    """Starting, restarting, the parent's pipe and stopping work on the event loop of production too."""

    async def scenario() -> int:
        stop = asyncio.Event()
        running = asyncio.create_task(Supervisor([spec(CHILD, pids.file)], backoff=QUICK).run(stop))
        await eventually(pids.alive)
        os.kill(pids.all()[0], signal.SIGKILL)
        await eventually(lambda: len(pids.all()) == 2)
        stop.set()
        return await running

    assert uvloop.run(scenario()) == 0
    assert pids.alive() == []


async def test_child_that_dies_is_restarted(pids: Pids) -> None:
    """A child that is killed comes back, and the log says by which signal it went."""
    stop = asyncio.Event()
    with capture_logs() as logged:
        running = asyncio.create_task(Supervisor([spec(CHILD, pids.file)], backoff=QUICK).run(stop))
        await eventually(pids.all)
        os.kill(pids.all()[0], signal.SIGKILL)
        await eventually(lambda: len(pids.all()) == 2)
        stop.set()
        assert await running == 0
    (line,) = events(logged, "child_exited")
    assert (line["child"], line["signal"], line["restart_in"]) == ("child", "Killed", 0.01)


async def test_child_that_exits_is_restarted_with_backoff() -> None:
    """A child that ends by itself comes back too, each time later, up to the maximum."""
    stop = asyncio.Event()
    with capture_logs() as logged:
        running = asyncio.create_task(Supervisor([spec("raise SystemExit(3)")], backoff=QUICK).run(stop))
        await eventually(lambda: len(events(logged, "child_exited")) == 3)
        stop.set()
        assert await running == 0
    found = [(line["exit_code"], line["restart_in"]) for line in events(logged, "child_exited")]
    assert found[:3] == [(3, 0.01), (3, 0.02), (3, 0.02)]


@pytest.mark.parametrize(
    ("delay", "uptime", "following"),
    [(None, 0, 0.1), (0.1, 1, 0.2), (3.2, 29, 5.0), (5.0, 1, 5.0), (5.0, 30, 0.1)],
)
def test_backoff_doubles_and_resets(delay: float | None, uptime: float, following: float) -> None:
    """The delay doubles from 0.1 s to 5 s and starts again after 30 s up."""
    assert RestartDelay().following(delay, uptime) == following


async def test_stop_ends_a_backoff() -> None:
    """A stop does not wait for a restart that is due later."""
    stop = asyncio.Event()
    with capture_logs() as logged:
        supervisor = Supervisor([spec("")], backoff=RestartDelay(first=60))
        running = asyncio.create_task(supervisor.run(stop))
        await eventually(lambda: events(logged, "child_exited"))
        stop.set()
        assert await asyncio.wait_for(running, 30) == 0


async def test_refused_settings_stop_everything(pids: Pids) -> None:
    """A child that exits with 2 is not started again: the others are stopped and the code is 2."""
    refusing = f"import os, time\nwhile not os.path.exists({str(pids.file)!r}): time.sleep(0.01)\nraise SystemExit(2)"
    children = [spec(CHILD, pids.file), spec(refusing, name="refusing")]
    with capture_logs() as logged:
        assert await Supervisor(children).run(asyncio.Event()) == 2
    assert pids.alive() == []
    assert [line["child"] for line in events(logged, "child_refused_to_start")] == ["refusing"]


@pytest.mark.parametrize("again", ["say_started()", ""], ids=["after_a_start", "before_a_later_start"])
async def test_a_child_that_has_started_once_is_restarted_whatever_its_code(tmp_path: Path, again: str) -> None:
    """After a child has said "started", 2 may be a handler's: only it is started again, and never is all ended."""
    been = tmp_path / "been"
    script = f"""
from pathlib import Path
from router.process.supervisor import say_started
been = Path({str(been)!r})
if not been.exists():
    say_started()
    been.touch()
{again}
raise SystemExit(2)
"""
    stop = asyncio.Event()
    with capture_logs() as logged:
        running = asyncio.create_task(Supervisor([spec(script)], backoff=QUICK).run(stop))
        await eventually(lambda: running.done() or len(events(logged, "child_exited")) == 3)
        stop.set()
        assert await running == 0
    assert {line["exit_code"] for line in events(logged, "child_exited")} == {2}


async def test_started_is_said_to_the_supervisor_alone(pids: Pids, tmp_path: Path) -> None:
    """A process that the child leaves behind delays nothing, and the number of the pipe is out of its environment."""
    seen = tmp_path / "seen"
    script = f"""
import os, sys
from router.process.supervisor import STARTED_FD, say_started
if os.fork() == 0:
    import time
    with open({str(pids.file)!r}, "a") as file:
        print(os.getpid(), file=file)
    time.sleep(60)
say_started()
open({str(seen)!r}, "a").write(str(STARTED_FD in os.environ))
raise SystemExit(2)
"""
    stop = asyncio.Event()
    with capture_logs() as logged:
        running = asyncio.create_task(Supervisor([spec(script)], backoff=QUICK).run(stop))
        await eventually(lambda: running.done() or events(logged, "child_exited"))
        stop.set()
        assert await running == 0
    assert seen.read_text().startswith("False")


async def test_program_that_cannot_start_is_retried(tmp_path: Path) -> None:
    """A program that is missing is reported and tried again: it may be there in a moment."""
    stop = asyncio.Event()
    program = tmp_path / "program"
    with capture_logs() as logged:
        running = asyncio.create_task(Supervisor([ChildSpec("late", [str(program)])], backoff=QUICK).run(stop))
        await eventually(lambda: events(logged, "child_not_started"))
        program.write_text("#!/bin/sh\nexec sleep 60\n")
        program.chmod(0o700)
        await eventually(lambda: events(logged, "child_started"))
        stop.set()
        assert await running == 0


async def test_child_that_ignores_the_stop_is_killed(pids: Pids) -> None:
    """A child that does not end in time is ended by force."""
    stop = asyncio.Event()
    with capture_logs() as logged:
        running = asyncio.create_task(Supervisor([spec(STUBBORN, pids.file)], stop_timeout=0.05).run(stop))
        await eventually(pids.all)
        stop.set()
        assert await running == 0
    assert pids.alive() == []
    assert [line["child"] for line in events(logged, "child_killed")] == ["child"]


async def test_kill_forces_the_stop(pids: Pids) -> None:
    """A second request ends the children at once, whatever time they had left."""
    stop = asyncio.Event()
    supervisor = Supervisor([spec(STUBBORN, pids.file)], stop_timeout=60)
    running = asyncio.create_task(supervisor.run(stop))
    await eventually(pids.all)
    stop.set()
    supervisor.kill()
    assert await asyncio.wait_for(running, 30) == 0


async def test_child_that_starts_during_the_stop_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child whose start and the stop cross each other does not stay."""
    stop = asyncio.Event()
    supervisor = Supervisor([ChildSpec("late", ["sleep", "60"])])
    start = supervisor._start

    async def start_late(*arguments: Any) -> asyncio.subprocess.Process:
        stop.set()
        await supervisor._ending.wait()
        return await start(*arguments)

    monkeypatch.setattr(supervisor, "_start", start_late)
    assert await asyncio.wait_for(supervisor.run(stop), 30) == 0


async def test_cancelled_supervisor_leaves_no_child(pids: Pids) -> None:
    """Cancelling ends the children as well."""
    running = asyncio.create_task(Supervisor([spec(STUBBORN, pids.file)]).run(asyncio.Event()))
    await eventually(pids.all)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert pids.alive() == []


async def test_child_has_its_environment_and_its_own_session(tmp_path: Path) -> None:
    """A child gets ours and its own variables, and Ctrl-C in our terminal does not reach it."""
    file = tmp_path / "seen"
    script = "import os, sys\nopen(sys.argv[1], 'w').write(f\"{os.environ['EXTRA']} {os.getsid(0) == os.getpid()}\")"
    child = ChildSpec("child", [sys.executable, "-c", script, str(file)], {"EXTRA": "here"})
    stop = asyncio.Event()
    running = asyncio.create_task(Supervisor([child]).run(stop))
    await eventually(lambda: file.exists() and file.read_text())
    stop.set()
    await running
    assert file.read_text() == "here True"


@pytest.fixture
async def start(pids: Pids) -> Any:
    """Start scripts as processes of their own; end those that still run."""
    processes: list[asyncio.subprocess.Process] = []

    async def start(script: str, *arguments: object) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            script,
            *map(str, arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_children_do_not_outlive_a_killed_parent(pids: Pids, start: Start) -> None:
    """When the parent is killed with SIGKILL, its children notice and end."""
    parent = await start(PARENT, pids.file, CHILD)
    await eventually(lambda: len(pids.alive()) == 2)
    parent.kill()
    await eventually(lambda: not pids.alive())


async def test_signal_stops_parent_and_children(pids: Pids, start: Start) -> None:
    """SIGTERM ends the whole family with code 0, also when the children get it twice."""
    parent = await start(PARENT, pids.file, CHILD)
    await eventually(lambda: len(pids.alive()) == 2)
    for pid in [parent.pid, *pids.all()]:
        os.kill(pid, signal.SIGTERM)
    assert await asyncio.wait_for(parent.wait(), 30) == 0
    assert pids.alive() == []


async def test_second_signal_forces_parent_and_children(pids: Pids, start: Start) -> None:
    """The second signal ends the family at once, children that do not listen included."""
    parent = await start(PARENT, pids.file, STUBBORN)
    await eventually(lambda: len(pids.alive()) == 2)

    def again() -> bool:
        # `send_signal` would look first whether the process has ended, and so take its exit code from asyncio.
        with contextlib.suppress(ProcessLookupError):
            if parent.returncode is None:
                os.kill(parent.pid, signal.SIGINT)
        return parent.returncode is not None

    await eventually(again, interval=0.1)
    assert parent.returncode == -signal.SIGINT
    await eventually(lambda: not pids.alive())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_second_signal_ends_a_process(start: Start, number: signal.Signals) -> None:
    """The first signal asks, the second one ends: a shell sees 143 or 130."""
    process = await start(WAITER)
    assert process.stdout is not None
    for expected in (b"ready\n", b"stopping\n"):
        assert await process.stdout.readline() == expected
        process.send_signal(number)
    assert await asyncio.wait_for(process.wait(), 30) == -number


async def test_first_signal_only_asks(signals_put_back: None) -> None:
    """The first signal sets the event and gives the second one back its own effect."""
    stop = asyncio.Event()
    install_stop(stop)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(stop.wait(), 30)
    assert signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGINT) == signal.SIG_DFL


async def test_second_signal_forces_first(signals_put_back: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """With something to force, that happens before the process ends by the signal."""
    stop, order = asyncio.Event(), list[str]()
    monkeypatch.setattr(signal, "raise_signal", lambda number: order.append(number.name))
    install_stop(stop, force=lambda: order.append("force"))
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.wait_for(stop.wait(), 30)
    os.kill(os.getpid(), signal.SIGTERM)
    await eventually(lambda: len(order) == 2)
    assert order == ["force", "SIGTERM"]


async def test_supervised_process_takes_repeated_signals(signals_put_back: None) -> None:
    """A supervised process that is signalled by its supervisor and by others stops once, in its own time."""
    stop = asyncio.Event()
    install_stop(stop, supervised=True)
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(stop.wait(), 30)
        stop.clear()
    loop = asyncio.get_running_loop()
    assert loop.remove_signal_handler(signal.SIGTERM)
    assert loop.remove_signal_handler(signal.SIGINT)


async def test_gone_parent_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child is told once when the parent's end of the pipe closes, and passes the pipe on to nobody."""
    reading, writing = os.pipe()
    monkeypatch.setenv(PARENT_FD, str(reading))
    gone = asyncio.Event()
    assert watch_parent(gone.set)
    assert PARENT_FD not in os.environ
    assert not os.get_inheritable(reading)
    os.close(writing)
    await asyncio.wait_for(gone.wait(), 30)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reading)


@pytest.mark.parametrize("value", [None, "", "x", "987654"])
async def test_process_without_a_supervisor_watches_nothing(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    """Without a parent's pipe, or with a number that is none, there is nothing to watch."""
    monkeypatch.delenv(PARENT_FD, raising=False)
    if value is not None:
        monkeypatch.setenv(PARENT_FD, value)
    assert not watch_parent(lambda: None)
