"""The end of processes that stay: in time, whatever user code has left running, and with what that was in the log."""

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.processes import System, ledger, running_system
from support.waiting import eventually

pytestmark = pytest.mark.real

TIMEOUT = 3
BUSY = 30
"""Seconds that a busy machine may add; what is left running would take 600."""
BEGIN = """
import atexit, contextlib, multiprocessing, subprocess, sys, threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

fork = multiprocessing.get_context("fork")
subscription = Subscription("leaving", events=["*"], retry=Retry(max_attempts=1), timeout=None)

def say(**fields):
    ledger.write(json.dumps(fields) + "\\n")

def work():
    say(child=os.getpid(), here=1)
    time.sleep(600)

"""
THREAD = "threading.Thread(target=work, name='mine').start()\n"
ASYNC = "@subscription.handler\nasync def handle(event: Event) -> None:\n"
PLAIN = "@subscription.handler\ndef handle(event: Event) -> None:\n"
IDLE = f"{ASYNC}    say(here=1)\n"
CASES = {
    "thread": (f"{ASYNC}    {THREAD}", r'"mine"'),
    "thread_at_import": (f"{THREAD}{IDLE}", r'"mine"'),
    "pool_thread": (f"pool = ThreadPoolExecutor(1, 'mine')\n{ASYNC}    pool.submit(work)\n", r'"mine_0"'),
    "pool_thread_of_the_loop": (
        f"{ASYNC}    asyncio.get_running_loop().run_in_executor(None, work)\n",
        r'"uvloop_0"',
    ),
    "plain_handler": (f"{PLAIN}    work()\n", r'"handler-leaving_0"'),
    "deaf_handler": (
        f"{IDLE}    while True:\n        with contextlib.suppress(BaseException): await asyncio.sleep(600)\n",
        r'"handlers": ?\["leaving"\]',
    ),
    "child": (f"{ASYNC}    fork.Process(target=work).start()\n", r'"children": ?\[\d+'),
    "child_of_a_plain_handler": (f"{PLAIN}    fork.Process(target=work).start()\n", r'"children": ?\[\d+'),
    "awaited_child": (
        f"{PLAIN}    child = fork.Process(target=work)\n    child.start()\n    child.join()\n",
        r'"children": ?\[\d+',
    ),
    "pool_of_processes": (
        f"pool = ProcessPoolExecutor(1, mp_context=fork)\n{PLAIN}    pool.submit(work)\n",
        r'"children": ?\[\d+',
    ),
    "command": (f"{PLAIN}    say(here=1)\n    subprocess.run(['sleep', '5'])\n", r'"children": ?\[\d+'),
    "atexit": (f"atexit.register(time.sleep, 600)\n{IDLE}", r"ended_with_what_is_alive"),
}
QUICK = {"thread"}
"""What is left most often: a thread of a library, and a handler."""


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    """Yield a system whose processes have little time to end; the children of its handlers end with it."""
    environment = {
        "ROUTER_WORKERS__SHUTDOWN_TIMEOUT": str(TIMEOUT),
        "ROUTER_INGRESS__SHUTDOWN_TIMEOUT": str(TIMEOUT),
    }
    async with running_system(tmp_path, **environment) as running:
        yield running
    for row in ledger(running.ledger):
        try:
            os.kill(int(row.get("child", "no")), signal.SIGKILL)
        except (ValueError, ProcessLookupError):
            continue


async def at_work(system: System, source: str, command: str = "worker") -> asyncio.subprocess.Process:
    """Return a process whose handler, or module, has begun what it does not end."""
    module = system.module(BEGIN + source)
    if command == "worker":
        await system.start("ingress", ROUTER_OPS__PORT="0")
    process = await system.start(command, module)
    await system.ready()
    await eventually(lambda: '"worker_started"' in system.logs(), timeout=20)
    await eventually(lambda: accepted(system), timeout=20, interval=0.1)
    await eventually(lambda: any("here" in row for row in ledger(system.ledger)), timeout=20)
    return process


async def accepted(system: System) -> bool:
    """Return whether ingress takes an event."""
    try:
        return (await system.post({"notificationId": "one", "event": "customer_changed"}))[0] == 202
    except OSError:
        return False


async def ended(process: asyncio.subprocess.Process) -> tuple[int, float]:
    """Ask a process to stop; return its exit code, and after how many seconds it ended."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    code = await asyncio.wait_for(process.wait(), 60)
    return code, time.monotonic() - began


def said(system: System, event: str) -> list[dict[str, Any]]:
    """Return the lines of one kind in the logs."""
    return [json.loads(line) for line in re.findall(rf'^{{.*"event": ?"{event}".*}}$', system.logs(), re.MULTILINE)]


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[] if case in QUICK else [pytest.mark.long]) for case in sorted(CASES)]
)
async def test_a_worker_ends_in_time_and_says_what_is_alive(system: System, case: str) -> None:
    """A worker ends within its shutdown time-out, with 0, and names the threads and children that still run."""
    source, expected = CASES[case]
    process = await at_work(system, source)
    code, seconds = await ended(process)
    assert code == 0, system.logs()
    assert seconds < TIMEOUT + BUSY  # and the last words of handlers and of the process
    assert re.search(expected, system.logs()), system.logs()
    assert said(system, "ended_with_what_is_alive")
    assert "Traceback" not in system.logs()


@pytest.mark.long
@pytest.mark.parametrize("case", ["thread", "child", "plain_handler", "deaf_handler"])
async def test_up_ends_in_time(system: System, case: str) -> None:
    """`up` ends with 0 when its worker does, which it need not kill."""
    process = await at_work(system, CASES[case][0], "up")
    code, seconds = await ended(process)
    assert code == 0, system.logs()
    assert seconds < TIMEOUT + BUSY
    assert not said(system, "child_killed")
    assert said(system, "ended_with_what_is_alive")


async def test_a_handler_cannot_keep_its_worker_from_being_stopped(system: System) -> None:
    """A handler, or a library in it, that takes SIGTERM for itself has it taken back, and the log says so."""
    deaf = "for number in (signal.SIGTERM, signal.SIGINT): signal.signal(number, signal.SIG_IGN)"
    process = await at_work(system, f"{ASYNC}    {deaf}\n    say(here=1)\n")
    await eventually(lambda: len(said(system, "signal_taken_back")) == 2, timeout=20)
    code, _ = await ended(process)
    assert code == 0, system.logs()


@pytest.mark.long
async def test_a_handler_cannot_silence_its_worker(system: System) -> None:
    """A handler that ends the log, closes what all print to, or has no signal wake anybody, does so for a moment."""
    silent = "logging.disable(); os.close(1); sys.stdout.close(); signal.set_wakeup_fd(-1)"
    process = await at_work(system, f"import logging, sys\n{ASYNC}    {silent}\n    say(here=1)\n")
    for event in ("logging_taken_back", "descriptor_taken_back", "signal_taken_back"):
        await eventually(lambda event=event: said(system, event), timeout=20)  # type: ignore[misc]
    code, _ = await ended(process)
    assert code == 0, system.logs()
    assert said(system, "worker_stopped")
    assert "Traceback" not in system.logs()


@pytest.mark.long
async def test_children_that_are_left_are_ended(system: System) -> None:
    """What Python would have waited for does not stay behind as an orphan that does an event's work a second time."""
    process = await at_work(system, CASES["child"][0])
    (pid,) = [row["child"] for row in ledger(system.ledger) if "child" in row]
    await ended(process)

    def is_gone() -> bool:
        status = Path(f"/proc/{pid}/stat")
        return not status.exists() or ") Z " in status.read_text()

    await eventually(is_gone)


async def test_what_ends_by_itself_is_waited_for(system: System) -> None:
    """Idle pools, a thread that is nearly done and functions of `atexit` end as in any Python process, unremarked."""
    source = f"""
threads = ThreadPoolExecutor(2)
processes = ProcessPoolExecutor(1, mp_context=fork)
atexit.register(lambda: say(end="atexit"))
asked = threading.Event()

def nearly_done():
    threading.main_thread().join()
    say(end="thread")

{ASYNC}    threads.submit(abs, 1).result()
    processes.submit(abs, 1).result()
    threading.Thread(target=nearly_done).start()
    say(here=1)
"""
    code, _ = await ended(await at_work(system, source))
    assert code == 0
    assert sorted(row["end"] for row in ledger(system.ledger) if "end" in row) == ["atexit", "thread"]
    assert not said(system, "ended_with_what_is_alive")


@pytest.mark.parametrize(
    ("source", "environment", "code", "message"),
    [
        (f"{THREAD}1 / 0\n", {}, 2, "cannot be imported: ZeroDivisionError"),
        pytest.param(
            f"{THREAD}{IDLE}", {"ROUTER_OPS__HOST": "192.0.2.1"}, 1, "cannot be opened", marks=pytest.mark.long
        ),
    ],
    ids=["broken_module", "no_address"],
)
async def test_a_worker_that_fails_ends_too(
    system: System, source: str, environment: dict[str, str], code: int, message: str
) -> None:
    """A thread that the module has started does not keep a worker that could not start; the error gives the code."""
    module = system.module(BEGIN + source)
    found, _, err = await asyncio.wait_for(system.run("worker", module, **environment), 30)
    assert (found, err.count(message)) == (code, 1), err
