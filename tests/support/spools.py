"""A store in memory that can be away, and what ingress would want stored in it."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError

from router.intake.entry import Entry, Waiting
from router.intake.group_commit import Appender
from router.store.keys import Keys
from router.store.scripts import Call

__all__ = ["MemoryStore", "append", "entry", "waiting"]


class MemoryStore:
    """Appends in memory; `failing` by stream, or all while `away`. With `lost` it appends, and does not say so."""

    def __init__(self) -> None:
        self.cluster = False
        self.keys = Keys()
        self.away: BaseException | None = None
        self.failing: dict[str, BaseException] = {}
        self.lost = False
        self.appended: list[str] = []
        self.trips = 0
        self.open = asyncio.Event()
        self.open.set()

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """Answer as `Store.run` does."""
        self.trips += 1
        await self.open.wait()
        if self.lost:
            for call in calls:
                self._append(call)
            return [RedisConnectionError("the reply was lost")] * len(calls)
        return [self.away or self.failing.get(call.keys[0]) or self._append(call) for call in calls]

    async def commands(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Answer as `Store.commands` does to a look at a set that is not there."""
        return [self.away or [] for _ in commands]

    def _append(self, call: Call) -> list[bytes]:
        return [self._add(marker) for marker in call.keys[1:]]

    def _add(self, marker: str) -> bytes:
        if marker in self.appended:
            return b""
        self.appended.append(marker)
        return b"1-1"


def entry(name: str, stream: str = "p/first", size: int = 10) -> Entry:
    """Return an entry whose marker is `stream:name`."""
    return Entry(stream, f"{stream}:{name}", ("id", name, "at", 1_760_000_000_000, "raw", b"{}"), size)


def waiting(*entries: Entry) -> tuple[Waiting, asyncio.Future[Sequence[bool]]]:
    """Return a request that waits for its entries, and a future of what it is told."""
    told = asyncio.get_running_loop().create_future()
    return Waiting(entries, partial(_tell, told)), told


def append(appender: Appender, entries: Sequence[Entry]) -> asyncio.Future[Sequence[bool]]:
    """Have entries appended; return a future of what their request is told."""
    request, told = waiting(*entries)
    appender.append(request.entries, request.answer)
    return told


def _tell(told: asyncio.Future[Sequence[bool]], outcome: Sequence[bool] | Exception) -> None:
    if told.done():
        return
    if isinstance(outcome, Exception):
        told.set_exception(outcome)
    else:
        told.set_result(outcome)
