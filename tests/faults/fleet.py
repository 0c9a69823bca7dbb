"""The system under test: a server, ingresses and workers, real processes as users run them, and the load on them.

The last ingress and the last worker reach the server through a proxy; the others directly. Every router process has a
clock of its own, wrong by up to `clocks` seconds.

The server flushes its append-only file before it answers. With `appendfsync everysec` one that is killed may forget
what it answered in the two seconds before: while a flush is under way it puts off the next write, and a slow disk makes
flushes long. That would be a loss no router can prevent. What is kept in memory disks instead, where there is one, is
flushed in no time and outlives the process all the same.
"""

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
from faults.fates import dies
from faults.ledger import Ledger
from faults.load import SECRET, STREAMS, Journal, Load
from faults.member import Member
from faults.ports import Ports
from faults.proxy import Proxy
from faults.stored import Stored, look
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from support.servers import server_program
from support.waiting import eventually

from router.store import STORE_ERRORS

__all__ = ["LEASE", "MEANT_TO_DIE", "SUBSCRIPTIONS", "Fleet"]

SUBSCRIPTIONS = {
    "handlers.py": ("plain", "retrying", "batches", "threads", "mortal"),
    "in_order.py": ("in-order",),
}
"""The subscriptions of each worker module."""

MEANT_TO_DIE = {"mortal": dies}

LEASE = 2.0
"""Seconds."""

_HERE = Path(__file__).parent
_ROOM = 4 * 1024**3
_MODULES = [str(_HERE / "handicaps"), str(_HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
_OURS = ("ROUTER_", "COVERAGE_")  # what must not reach the processes: settings, and the slowness of being measured


class Fleet:
    """One system in a folder of its own; `settings` are environment variables for all its router processes."""

    def __init__(
        self,
        folder: Path,
        *,
        seed: int = 1,
        ingresses: int = 2,
        workers: int = 2,
        rate: float = 60.0,
        clocks: float = 0.0,
        modules: Sequence[str] = ("handlers.py",),
        fsync: str = "always",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.random = Random(f"fleet/{seed}")
        self._ports = Ports()
        self.server_port = self._ports.reserve()
        self.server_url = f"redis://127.0.0.1:{self.server_port}/0"
        self.proxy = Proxy("127.0.0.1", self.server_port, listen=self._ports.reserve())
        self.fsync = fsync
        self._clocks = clocks
        self._data = Path(tempfile.mkdtemp(prefix="er-faults-", dir=_fast_disk() or folder))
        self._ended = False
        self._ops: dict[str, int] = {}
        self._settings = dict(settings or {})
        self._modules = [str(_HERE / "modules" / name) for name in modules]
        self.subscriptions = tuple(name for module in modules for name in SUBSCRIPTIONS[module])
        self.server = Member("server", self._server_command(), _plain_environment, folder)
        ports = [self._ports.reserve() for _ in range(ingresses)]
        self.ingresses = [
            self._router(f"ingress-{number}", number == ingresses, "ingress", ROUTER_INGRESS__PORT=str(port))
            for number, port in enumerate(ports, 1)
        ]
        self.workers = [self._worker(number, through_proxy=number == workers) for number in range(1, workers + 1)]
        self.journal = Journal()
        self.ledger = Ledger(folder / "ledger", self.subscriptions)
        self.urls = {f"http://127.0.0.1:{port}": member for port, member in zip(ports, self.ingresses, strict=True)}
        self.load = Load(list(self.urls), self.journal, seed=seed, rate=rate)

    @property
    def members(self) -> list[Member]:
        """All processes."""
        return [self.server, *self.ingresses, *self.workers]

    @property
    def proxied(self) -> list[Member]:
        """The processes that reach the server through the proxy."""
        return [self.ingresses[-1], self.workers[-1]]

    async def start(self) -> None:
        """Start everything, and the load once everything is ready."""
        self.ledger.folder.mkdir()
        await self.server.start()
        self.proxy.accept()
        await eventually(self.answers)
        for member in (*self.ingresses, *self.workers):
            await member.start()
        for member in (*self.ingresses, *self.workers):
            await self.ready(member)
        await self.load.start()

    async def end(self) -> None:
        """End everything; what does not end as it should is among the surprises."""
        if self._ended:
            return
        self._ended = True
        with contextlib.suppress(TimeoutError):
            await self.load.stop(within=0)
        await asyncio.gather(*(member.end() for member in (*self.ingresses, *self.workers)))
        await self.proxy.refuse()
        await self.server.end()
        self._ports.release()
        shutil.rmtree(self._data, ignore_errors=True)

    async def command(self, *arguments: str | float) -> Any:
        """Send a command to the server on a connection of its own, since no other outlives the faults."""
        client = Redis.from_url(self.server_url, socket_timeout=10, retry=Retry(NoBackoff(), 0))
        try:
            return await client.execute_command(*arguments)
        finally:
            await client.aclose()

    async def answers(self) -> bool:
        """Return whether the server takes commands."""
        try:
            return bool(await self.command("PING"))
        except STORE_ERRORS:
            return False

    async def ready(self, member: Member, timeout: float = 90.0) -> None:  # noqa: ASYNC109
        """Wait until a router process says that it is ready."""
        url = f"http://127.0.0.1:{self._ops[member.name]}/readyz"

        async def is_ready() -> bool:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with aiohttp.ClientSession() as session, session.get(url) as response:
                    return response.status == 200
            return False

        await eventually(is_ready, timeout=timeout)

    async def settle(self, within: float = 60.0) -> Stored:
        """Stop the load, wait until every event has come to its end, and return what is in the store then.

        Where that does not happen in time, the journal and what is returned say what is left.
        """
        with contextlib.suppress(TimeoutError):
            await self.load.stop(within=within)
        deadline = asyncio.get_running_loop().time() + within
        while True:
            stored = await look(self.server_url, STREAMS, self.subscriptions)
            self.ledger.refresh()
            if stored.settled or asyncio.get_running_loop().time() > deadline:
                return stored
            await asyncio.sleep(0.1)

    def surprises(self) -> list[str]:
        """Return all that no process should have needed."""
        return [surprise for member in self.members for surprise in member.surprises]

    def _worker(self, number: int, *, through_proxy: bool) -> Member:
        # Odd ones keep their name when they are started again, and take over at once what they held.
        name = ("--name", f"worker-{number}") if number % 2 else ()
        return self._router(f"worker-{number}", through_proxy, "worker", *name, *self._modules)

    def _router(self, name: str, through_proxy: bool, *arguments: str, **environment: str) -> Member:  # noqa: FBT001
        self._ops[name] = self._ports.reserve()
        command = (sys.executable, "-m", "router.cli.main", *arguments)

        def make() -> Mapping[str, str]:
            return {
                **_plain_environment(),
                "PYTHONPATH": os.pathsep.join(_MODULES),
                "FAULTS_CLOCK": str(round(self.random.uniform(-self._clocks, self._clocks))),
                "FAULTS_LEDGER": str(self.ledger.folder),
                "FAULTS_STREAMS": " ".join(STREAMS),
                "ROUTER_DATA_DIR": str(self.folder / "data"),
                "ROUTER_REDIS__URL": self.proxy.url if through_proxy else self.server_url,
                "ROUTER_REDIS__COMMAND_TIMEOUT": "2",
                "ROUTER_INGRESS__HOST": "127.0.0.1",
                "ROUTER_INGRESS__STORE_TIMEOUT": "1.5",
                "ROUTER_OPS__PORT": str(self._ops[name]),
                "ROUTER_SECRETS__VISMA_NET_FINANCIAL": SECRET,
                "ROUTER_SECRETS__VISMA_NET_JOURNAL_TRANSACTION": SECRET,
                "ROUTER_WORKERS__LEASE": str(LEASE),
                "ROUTER_LOG__FORMAT": "json",
                **environment,
                **self._settings,
            }

        return Member(name, command, make, self.folder)

    def _server_command(self) -> list[str]:
        options = {
            "port": str(self.server_port),
            "bind": "127.0.0.1",
            "dir": str(self._data),
            "appendonly": "yes",
            "appendfsync": self.fsync,
            "save": "",
            "maxmemory-policy": "noeviction",
            "enable-debug-command": "yes",
        }
        return [server_program(), *(text for name, value in options.items() for text in (f"--{name}", value))]


def _fast_disk() -> Path | None:
    """Return the folder of a disk in memory that has room for a long run, if there is one."""
    disk = Path("/dev/shm")
    with contextlib.suppress(OSError):
        if shutil.disk_usage(disk).free > _ROOM:
            return disk
    return None


def _plain_environment() -> dict[str, str]:
    """Return our environment without what would change a server or a router; a server needs a locale that exists."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return kept | {"LC_ALL": "C", "PYTHONUTF8": "1"}
