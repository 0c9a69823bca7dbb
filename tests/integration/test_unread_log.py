"""Processes whose standard error nobody reads: they go on, and end in time."""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from support.processes import System, running_system
from support.servers import Server
from support.waiting import eventually

pytestmark = pytest.mark.real

TALKING = """
import logging, structlog

talking = Subscription("talking", events=["*"], concurrency=4)

@talking.handler
async def handle(event: Event) -> None:
    for _ in range(20):
        structlog.get_logger("mine").warning("said by structlog", text="x" * 200)
        logging.getLogger("mine").warning("said by logging")
    note("talking", event)
"""


class Unread:
    """A command of the router whose standard error goes into a small pipe."""

    def __init__(self, process: asyncio.subprocess.Process, reader: int) -> None:
        self.process = process
        self._reader = reader

    def read(self) -> list[str]:
        """Return the events of all that is written until the process has ended."""
        with os.fdopen(os.dup(self._reader), "rb") as log:
            return [json.loads(line)["event"] for line in log.read().splitlines() if line.startswith(b"{")]


@contextlib.asynccontextmanager
async def unread(system: System, *arguments: str) -> AsyncIterator[Unread]:
    """Run a command; end it afterwards."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "router.cli.main", *arguments),
        cwd=system.folder,
        env=system.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=writer,
        start_new_session=True,
    )
    os.close(writer)
    try:
        yield Unread(process, reader)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()
        os.close(reader)


@pytest.fixture
async def system(server: Server, tmp_path: Path) -> AsyncIterator[System]:
    """Yield a system with nothing running."""
    async with running_system(tmp_path, ROUTER_REDIS__URL=server.url, ROUTER_LOG__LEVEL="debug") as system:
        yield system


async def _is_alive(system: System, port: int | None = None) -> bool:
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(system.ops_url("/healthz", port)) as got:
        return got.status == 200


async def test_ingress(system: System) -> None:
    """Ingress answers webhooks and `/healthz` whatever it has logged that nobody reads."""
    async with unread(system, "ingress") as ingress:
        await system.ready()
        for number in range(300):
            status, _ = await system.post([{"notificationId": f"n{number}", "event": "unheard_of" * 20}, {"x": 1}])
            assert status == 202
            assert (await system.post([{}], secret=f"wrong{number}"))[0] == 401
        assert await _is_alive(system)
        reading = asyncio.create_task(asyncio.to_thread(ingress.read))
        ingress.process.terminate()
        assert await asyncio.wait_for(ingress.process.wait(), 30) == 0
        said = await asyncio.wait_for(reading, 30)
        assert "ingress_started" in said
        assert said[-1] == "ingress_stopped"


@pytest.mark.long
async def test_worker(system: System) -> None:
    """A worker whose handlers log more than anybody reads handles all events, and ends within its bound."""
    await system.start("ingress")
    await system.ready()
    ids = [f"n{number}" for number in range(200)]
    await system.post_many(ids)
    system.environment["ROUTER_OPS__PORT"] = "0"
    async with unread(system, "worker", system.module(TALKING)) as worker:
        await eventually(lambda: len(system.handled()) == len(ids), timeout=60)
        worker.process.terminate()
        assert await asyncio.wait_for(worker.process.wait(), 30) == 0


@pytest.mark.long
async def test_up(system: System) -> None:
    """The processes of `up` share its standard error, and none of them waits for a reader."""
    async with unread(system, "up", system.module(TALKING)) as up:
        await system.ready()
        ids = [f"n{number}" for number in range(200)]
        for start in range(0, 200, 20):
            await system.post_many(ids[start : start + 20])
        await eventually(lambda: len(system.handled()) == len(ids), timeout=60)
        assert await _is_alive(system)
        up.process.terminate()
        assert await asyncio.wait_for(up.process.wait(), 60) == 0
