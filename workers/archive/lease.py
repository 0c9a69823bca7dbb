"""The lease of the archive: one process of all writes objects, or removes events from them."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from router.store.archiving import Archiving
from router.store.client import Store

__all__ = ["Lease", "LeaseLost", "held"]

_AGAIN: Final = 1.0  # seconds between two tries


class LeaseLost(Exception):
    """Another process has the lease: this one was held up for longer than it lasts."""


class Lease:
    """The lease of one process, which renews it before each write; `seconds` are enough for that."""

    def __init__(self, store: Store, seconds: float) -> None:
        self._store = store
        self._scripts = Archiving(store.keys)
        self._name = secrets.token_hex(8)
        self._seconds = seconds

    async def take(self) -> bool:
        """Take it or renew it; return whether it is ours. Raises StoreUnavailable."""
        return bool(await self._store.call(self._scripts.lease(self._name, int(self._seconds * 1000))))

    async def renew(self) -> None:
        """Renew it; raises LeaseLost where it is another's, and StoreUnavailable."""
        if not await self.take():
            raise LeaseLost

    async def give_up(self) -> None:
        """Give it up, if it is ours."""
        await self._store.call(self._scripts.lease(self._name, 0))


@asynccontextmanager
async def held(store: Store, seconds: float, patience: float = 0.0) -> AsyncIterator[Lease | None]:
    """Hold the lease while the context is open; None where another process has it for `patience` seconds."""
    lease, end = Lease(store, seconds), time.monotonic() + patience
    while not await lease.take():
        if time.monotonic() >= end:
            yield None
            return
        await asyncio.sleep(_AGAIN)
    try:
        yield lease
    finally:
        await lease.give_up()
