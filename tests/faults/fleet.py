"""The system under test: a server, ingresses and workers, real processes as users run them, and the load on them.

The last ingress and the last worker reach the server through a proxy; the others directly. Every router process has a
clock of its own, wrong by up to `clocks` seconds.
"""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
from faults.commands import (
    fast_disk,
    module,
    plain_environment,
    router_command,
    router_environment,
    server_command,
)
from faults.fates import dies, gives_up
from faults.ledger import Ledger
from faults.load import STREAMS, Journal, Load
from faults.member import Member
from faults.order import Rules
from faults.proxy import Proxy
from faults.stored import Stored, look
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from support.ports import reserve
from support.waiting import eventually

from router.store.errors import STORE_ERRORS

__all__ = ["KEYED", "MEANT_TO_DIE", "MODULES", "SUBSCRIPTIONS", "Fleet"]

SUBSCRIPTIONS = {
    "handlers.py": ("plain", "retrying", "batches", "threads", "mortal"),
    "in_order.py": ("in-order",),
    "keyed.py": ("in-turn", "latest", "grouped", "shared"),
}
"""The subscriptions of each worker module."""

MODULES = ("handlers.py", "keyed.py")
"""The worker modules that run where nothing else is asked for; a keyed one has to be among them for `FAULTS`."""

MEANT_TO_DIE = {"mortal": dies, "in-turn": gives_up, "latest": gives_up}

KEYED: Mapping[str, Rules] = {
    "in-turn": Rules(),
    "latest": Rules(merges=True),
    "grouped": Rules(),
    "shared": Rules(per_company=3),
}
"""The keyed subscriptions, and what they promise besides order."""


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
        modules: Sequence[str] = MODULES,
        fsync: str = "always",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.random = Random(f"fleet/{seed}")
        self.server_port = reserve()
        self.server_url = f"redis://127.0.0.1:{self.server_port}/0"
        self.proxy = Proxy("127.0.0.1", self.server_port)
        self.fsync = fsync
        self._clocks = clocks
        self._data = Path(tempfile.mkdtemp(prefix="er-faults-", dir=fast_disk() or folder))
        self._ended = False
        self._ops: dict[str, int] = {}
        self._settings = dict(settings or {})
        self.subscriptions = tuple(name for file in modules for name in SUBSCRIPTIONS[file])
        self.server = Member(
            "server", server_command(self.server_port, self._data, fsync=fsync), plain_environment, folder
        )
        ports = [reserve() for _ in range(ingresses)]
        self.ingresses = [self._ingress(number, port, last=number == ingresses) for number, port in enumerate(ports, 1)]
        self.workers = [self._worker(number, modules, last=number == workers) for number in range(1, workers + 1)]
        self.journal = Journal()
        self.ledger = Ledger(folder / "ledger", self.subscriptions)
        self.urls = {f"http://127.0.0.1:{port}": member for port, member in zip(ports, self.ingresses, strict=True)}
        self.load = Load(list(self.urls), self.journal, seed=seed, rate=rate)

    @property
    def members(self) -> list[Member]:
        """All processes."""
        return [self.server, *self.ingresses, *self.workers]

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

    async def settle(self, patience: float = 60.0) -> Stored:
        """Stop the load, wait until every event has come to its end, and return what is in the store then.

        Where nothing is handled for `patience` seconds, the journal and what is returned say what is left.
        """
        with contextlib.suppress(TimeoutError):
            await self.load.stop(within=patience)
        clock = asyncio.get_running_loop().time
        handled, since = -1, clock()
        while True:
            stored = await look(self.server_url, STREAMS, self.subscriptions)
            self.ledger.refresh()
            if self.ledger.total > handled:
                handled, since = self.ledger.total, clock()
            if stored.settled or clock() - since > patience:
                return stored
            await asyncio.sleep(0.1)

    def surprises(self) -> list[str]:
        """Return all that no process should have needed."""
        return [surprise for member in self.members for surprise in member.surprises]

    def _ingress(self, number: int, port: int, *, last: bool) -> Member:
        url = self.proxy.url if last else self.server_url
        return self._router(f"ingress-{number}", ["ingress"], url, ROUTER_INGRESS__PORT=str(port))

    def _worker(self, number: int, modules: Sequence[str], *, last: bool) -> Member:
        # Odd ones keep their name when they are started again, and take over at once what they held.
        name = ("--name", f"worker-{number}") if number % 2 else ()
        url = self.proxy.url if last else self.server_url
        return self._router(f"worker-{number}", ["worker", *name, *map(module, modules)], url)

    def _router(self, name: str, arguments: Sequence[str], url: str, **settings: str) -> Member:
        ops_port = self._ops[name] = reserve()

        def environment() -> Mapping[str, str]:
            ahead = self.random.uniform(-self._clocks, self._clocks)
            common = router_environment(self.folder, self.ledger.folder, redis_url=url, ops_port=ops_port, ahead=ahead)
            return {**common, **settings, **self._settings}

        return Member(name, router_command(*arguments), environment, self.folder)
