"""`log_events` as a tool in a pipe: it ends with its output, and no event is lost by that."""

import asyncio
import fcntl
import json
import os
import sys
import termios
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.processes import System, running_system
from support.waiting import eventually

pytestmark = pytest.mark.real


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    """Yield a system whose ingress runs, with events that nobody has handled."""
    async with running_system(tmp_path) as running:
        await running.start("ingress")
        await running.ready()
        await running.post_many([f"event-{number}" for number in range(20)])
        yield running


async def begin(system: System, command: str, output: int) -> asyncio.subprocess.Process:
    """Start `log_events` with a standard output, which is closed here."""
    environment = {**system.environment, "ROUTER_OPS__PORT": "0", "ROUTER_INGRESS__PORT": "0"}
    with (system.folder / "log-events.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "router.cli.main", command, "workers.log_events"),
            cwd=system.folder,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=log,
        )
    os.close(output)
    system.processes.append(process)
    return process


async def undone(system: System) -> int:
    """Return how many events the subscription has still to do, none of them being a retry or dead."""
    groups = [group for stream in await system.json("streams") for group in stream["subscriptions"]]
    assert not any(group["scheduled"] or group["dead"] for group in groups), groups
    return sum((group["lag"] or 0) + group["pending"] for group in groups)


async def test_it_ends_when_its_reader_has_gone(system: System) -> None:
    """Like any tool before `head`: exit code 0, no word, and what was not printed is there for the next one."""
    reading, writing = os.pipe()
    process = await begin(system, "worker", writing)
    with os.fdopen(reading, "rb") as pipe:
        first = await asyncio.to_thread(pipe.readline)
    assert b"event-" in first
    await system.post_many(["last"])
    assert await asyncio.wait_for(process.wait(), 30) == 0
    errors = (system.folder / "log-events.log").read_text()
    assert "Traceback" not in errors
    assert "event-router: " not in errors
    assert await undone(system) >= 1
    reading, writing = os.pipe()
    await begin(system, "worker", writing)
    with os.fdopen(reading, "rb") as pipe:
        while not (await asyncio.to_thread(pipe.readline)).rstrip().endswith(b" last"):
            continue


@pytest.mark.long
async def test_it_ends_when_its_output_is_full(system: System) -> None:
    """Output that cannot be written is exit code 1 and one line; every event is there for the next one."""
    process = await begin(system, "worker", os.open("/dev/full", os.O_WRONLY))
    assert await asyncio.wait_for(process.wait(), 30) == 1
    errors = (system.folder / "log-events.log").read_text()
    assert errors.count("event-router: ") == 1
    assert "No space left" in errors
    assert "Traceback" not in errors
    assert await undone(system) == 20


@pytest.mark.long
async def test_up_goes_on_without_a_reader(system: System) -> None:
    """Under `up` the worker is started again, later each time; ingress is not ended and no event becomes a retry."""
    reading, writing = os.pipe()
    os.close(reading)
    process = await begin(system, "up", writing)

    def restarted() -> bool:
        log = (system.folder / "log-events.log").read_text()
        return process.returncode is not None or log.count('"child_exited"') >= 3

    await eventually(restarted, timeout=40)
    assert process.returncode is None
    assert await undone(system) == 20


@pytest.mark.long
async def test_a_reader_that_pauses_is_waited_for(system: System) -> None:
    """A full pipe stops the printing, and neither the worker nor the attempt; SIGTERM ends it in time all the same."""
    await system.post_many([f"more-{number}" for number in range(100)])
    system.environment["ROUTER_WORKERS__SHUTDOWN_TIMEOUT"] = "1"
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    process = await begin(system, "worker", writing)
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        port = await eventually_port(system)
        await eventually(lambda: unread(pipe.fileno()) > 3500, timeout=30)
        await system.ready(port)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0
        assert pipe.read(1)
    assert await undone(system) >= 1


def unread(pipe: int) -> int:
    """Return how many bytes wait in a pipe."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


async def eventually_port(system: System) -> int:
    """Return the operations port that the worker has taken."""
    log = system.folder / "log-events.log"
    await eventually(lambda: '"worker_started"' in log.read_text(), timeout=20)
    lines = [json.loads(line) for line in log.read_text().splitlines() if '"worker_started"' in line]
    return int(lines[0]["ops_port"])
