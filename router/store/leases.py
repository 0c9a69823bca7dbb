"""Leases: of all processes that could do something, one has it, and what it writes down meanwhile counts.

A lease ends by itself, so that another process goes on for one that has died. The hashes that are written under it
have its hash tag.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from enum import IntEnum
from functools import cache
from typing import Any, Final, TypeVar

from config.errors import RouterError
from router.store.client import Store
from router.store.errors import STORE_ERRORS
from router.store.reading import checked
from router.store.scripts import BATCH, Call, Field, Script, lease
from router.tasks.ending import end, ended_in, in_time

__all__ = ["Lease", "LeaseLost", "Taken"]

T = TypeVar("T")

_AGAIN: Final = 1.0
"""Seconds between two tries to take a lease."""
_PATIENCE: Final = 2.0
"""Seconds for giving one up."""
_AT_ONCE: Final = 20
"""Scripts of one round trip."""

_script = cache(Script)


class LeaseLost(RouterError):
    """Another process has the lease by now: this one was held up for longer than it lasts."""


class Taken(IntEnum):
    """What became of asking for a lease: another process has it, or this one had it STILL, or has it as a NEW one."""

    NO = 0
    STILL = 1
    NEW = 2


class Lease:
    """A lease as this process asks for it, for `seconds` at a time; all but `give_up` raises StoreUnavailable."""

    def __init__(self, store: Store, key: str, seconds: float) -> None:
        self._store = store
        self._key = key
        self._seconds = seconds
        self._token = secrets.token_hex(8)

    async def take(self) -> Taken:
        """Take it, or renew it."""
        return Taken(await self._store.call(lease(self._key, self._token, round(self._seconds * 1000))))

    async def renew(self) -> None:
        """Renew it, also where it has ended and is nobody's; raises LeaseLost where another process has it."""
        if not await self.take():
            raise LeaseLost("another process has the lease by now")

    async def keep(self) -> None:
        """Renew it; raises LeaseLost, too, where it had ended: another process may have had it meanwhile."""
        if await self.take() is not Taken.STILL:
            raise LeaseLost("the lease had ended, and another process may have had it meanwhile")

    async def give_up(self) -> None:
        """Give it up, if it is ours; where the store is away it ends by itself."""
        try:
            await in_time(_PATIENCE, self._store.call(lease(self._key, self._token, 0)))
        except STORE_ERRORS:
            return

    @asynccontextmanager
    async def held(self, patience: float = 0.0) -> AsyncIterator[bool]:
        """Hold it while the context is open; False where another process has it for `patience` seconds."""
        until = time.monotonic() + patience
        while not await self.take():
            if time.monotonic() >= until:
                yield False
                return
            await asyncio.sleep(_AGAIN)
        try:
            yield True
        finally:
            await self.give_up()

    async def renewed(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what work comes to, and renew the lease meanwhile; raises LeaseLost, too, once work is ended then."""
        working = asyncio.create_task(work, name=f"work-{self._key}")
        renewing = asyncio.create_task(self._renewing(), name=f"lease-{self._key}")
        try:
            await asyncio.wait([working, renewing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            first = working if working.done() else renewing
            await end([working, renewing])
        if (error := ended_in(first)) is not None:
            raise error
        return working.result()

    async def note(self, key: str, values: Mapping[str, Field], gone: Sequence[str] = ()) -> None:
        """Set fields of a hash, and remove others; raises LeaseLost where another process has the lease."""
        calls = self._notes(key, values, gone)
        for start in range(0, len(calls), _AT_ONCE):
            if not all(checked(await self._store.run(calls[start : start + _AT_ONCE]))):
                raise LeaseLost("another process has the lease by now")

    async def _renewing(self) -> None:
        while True:
            await asyncio.sleep(self._seconds / 3)
            await self.renew()

    def _notes(self, key: str, values: Mapping[str, Field], gone: Sequence[str]) -> list[Call]:
        pairs = list(values.items())
        sets = [pairs[start : start + BATCH] for start in range(0, len(pairs), BATCH)]
        gaps = [gone[start : start + BATCH] for start in range(0, len(gone), BATCH)]
        calls = [self._note(key, [part for pair in some for part in pair], ()) for some in sets]
        return [*calls, *(self._note(key, (), some) for some in gaps)]

    def _note(self, key: str, sets: Sequence[Field], gone: Sequence[Field]) -> Call:
        return Call(_script("note"), (self._key, key), (self._token, len(sets), *sets, *gone))
