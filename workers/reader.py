"""Reading ahead: one blocking read over all streams of a subscription fills the buffer of its executor.

How far ahead is measured, not set: about a quarter of a second's work beyond what can run at once. A slow handler thus
leaves the rest to other workers, and a fast one never waits for a read.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from router.store import STORE_ERRORS
from workers.backoff import Backoff
from workers.context import Context
from workers.delivery import Held
from workers.groups import ensure_groups, is_no_group
from workers.stranded import Stranded

__all__ = ["Reader"]

_AHEAD = 0.25
"""Seconds of work to read ahead."""
_MOST = 250
"""Entries to take from one stream in one read: COUNT holds for each stream, and all of them may be full."""


class Reader:
    """Reads streams and their inboxes; hands what it reads to `put`; `capacity` deliveries can run at once."""

    def __init__(
        self, context: Context, streams: Sequence[str], capacity: int, put: Callable[[list[Held]], None]
    ) -> None:
        self._context = context
        self._put = put
        self._capacity = capacity
        self._pool = context.store.reader(context.settings.block)
        # One connection, so that the server can be asked to end its blocked read; a Cluster has no such client.
        self._client = self._pool.client() if isinstance(self._pool, Redis) else self._pool
        self._sources: dict[bytes, tuple[str, bool]] = {}
        for stream in streams:
            for inbox in (True, False):
                self._sources[context.source_of(stream, inbox=inbox).encode()] = (stream, inbox)
        self._stranded = Stranded(context, self._sources)
        self._tail: tuple[str | bytes, ...] = ("STREAMS", *self._sources, *([">"] * len(self._sources)))
        self._active = len(self._sources)
        self._room = asyncio.Event()
        self._connection_id: int | None = None
        self._stopping = False
        self._rate = 0.0
        self._read_at = context.monotonic()
        self._handled = 0
        self._delivered = context.metrics.delivered.labels(context.group)

    def settled(self) -> None:
        """Take note that deliveries were settled: there may be room again."""
        self._room.set()

    async def run(self) -> None:
        """Read until stopped, whatever happens to the store."""
        context = self._context
        backoff = Backoff(context.random)
        while not self._stopping:
            try:
                room = await self._wait_for_room()
                if self._stranded.due:
                    self._take(await self._stranded.find())
                    continue
                await self._read(room)
                backoff.reset()
            except STORE_ERRORS as error:
                await self._mend(error, backoff.next())
        await self._client.aclose()
        await self._pool.aclose()

    async def stop(self) -> None:
        """Make `run` return soon: a blocked read is ended by the server, which loses nothing, instead of cancelled."""
        self._stopping = True
        self._room.set()
        if self._connection_id is not None:
            command = ("CLIENT", "UNBLOCK", self._connection_id)
            await self._context.store.commands([command])

    async def _wait_for_room(self) -> int:
        """Return how many deliveries there is room for, once that is worth a read."""
        while True:
            self._room.clear()
            target = self._target()
            room = target - len(self._context.held)
            # A free lane is worth a read at once; reading further ahead is when half of that is used up.
            if len(self._context.held) < self._capacity or room * 2 >= target or self._stopping:
                return room
            await self._room.wait()

    def _target(self) -> int:
        ahead = min(self._context.settings.prefetch, int(self._rate * _AHEAD))
        return self._capacity + ahead

    async def _read(self, room: int) -> None:
        if self._stopping:
            return
        if self._connection_id is None and isinstance(self._client, Redis):
            self._connection_id = int(await self._client.client_id())
        context = self._context
        count = max(1, min(_MOST, room // max(1, self._active)))
        block = int(context.settings.block * 1000)
        reply = await self._client.execute_command(
            "XREADGROUP", "GROUP", context.group, context.consumer, "COUNT", count, "BLOCK", block, *self._tail
        )
        items = self._held(reply or {})
        self._measure(len(items))
        self._take(items)

    def _take(self, items: list[Held]) -> None:
        if items:
            self._delivered.inc(len(items))
            self._context.held.update(dict.fromkeys(items))
            self._put(items)

    def _held(self, reply: Any) -> list[Held]:
        now = self._context.monotonic()
        items: list[Held] = []
        for key, entries in reply.items():
            stream, inbox = self._sources[key]
            items.extend(Held(stream, entry_id, fields or {}, inbox=inbox, touched=now) for entry_id, fields in entries)
        self._active = len(reply) or self._active
        return items

    def _measure(self, number: int) -> None:
        """Keep a moving average of deliveries a second."""
        now = self._context.monotonic()
        elapsed = max(now - self._read_at, 1e-6)
        self._read_at = now
        weight = min(1.0, elapsed * 4)
        self._rate += (number / elapsed - self._rate) * weight

    async def _mend(self, error: BaseException, delay: float) -> None:
        """Do what the error calls for, wait, and let the loop go on."""
        self._connection_id = None
        self._stranded.read_failed()
        context = self._context
        context.log.warning("read_failed", error=f"{type(error).__name__}: {error}", retry_in=round(delay, 2))
        if is_no_group(error):
            try:
                made = await ensure_groups(context)
                context.log.warning("groups_made_again", groups=made)
            except STORE_ERRORS as again:
                context.log.warning("groups_not_made", error=str(again))
        elif isinstance(error, ResponseError):
            context.log.error("read_refused", error=str(error))
        await asyncio.sleep(delay)
