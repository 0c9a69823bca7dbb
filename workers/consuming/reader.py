"""Reading: one blocking read over the streams of a subscription fills the buffer of its executor."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from router.store.errors import STORE_ERRORS, is_no_group
from router.store.read_connection import ReadConnection
from router.tasks.backoff import Backoff
from workers.consuming.context import Context
from workers.consuming.pace import Pace
from workers.consuming.stranded import Stranded
from workers.delivery import Held

_AGAIN = 5.0
"""Seconds until a key that could not be read, since it is of another type, is tried again."""


def readers_of(context: Context, pace: Pace, put: Callable[[list[Held]], None]) -> list["Reader"]:
    """Return what reads all streams of a subscription: one reader, or many on a Cluster, whose reads keep to a slot."""
    parts = [[stream] for stream in context.streams] if context.store.cluster else [context.streams]
    return [Reader(context, streams, pace, put) for streams in parts]


class Reader:
    """Reads streams and their inboxes, at the pace of its consumer; hands what it reads to `put`."""

    def __init__(self, context: Context, streams: Sequence[str], pace: Pace, put: Callable[[list[Held]], None]) -> None:
        self._context = context
        self._pace = pace
        self._put = put
        self._sources: dict[bytes, tuple[str, bool]] = {}
        for stream in streams:
            for inbox in (True, False):
                self._sources[context.keys.source(stream, context.group, inbox=inbox).encode()] = (stream, inbox)
        self._name = "reading" if len(streams) > 1 else f"reading {streams[0]}"
        self._stranded = Stranded(context, self._sources)
        self._tail: tuple[str | bytes, ...] = ()
        self._again_at: float | None = None
        self._aim()
        self._connection = ReadConnection(context.store, context.keys.events(streams[0]), context.settings.block)
        self._stopping = False
        self.has_read = asyncio.Event()
        """Set once a read of all the streams has come back: until then nobody knows whether they can be read."""
        self._delivered = context.metrics.delivered.labels(context.group)

    async def run(self) -> None:
        """Read until stopped, whatever happens to the store."""
        backoff = Backoff(self._context.random)
        while not self._stopping:
            try:
                await self._pace.wait_for_room()
                if self._stranded.due:
                    self._take(await self._stranded.find())
                elif not self._stopping:
                    await self._look_again()
                    await self._read()
                    backoff.reset()
                    self._context.outage.over(self._name)
            except STORE_ERRORS as error:
                await self._mend(error, backoff.next())
        await self._connection.aclose()

    async def stop(self) -> None:
        """Make `run` return soon; to be called again until it has, since the next read may just have been begun."""
        self._stopping = True
        self._pace.stop()
        await self.interrupt()

    async def interrupt(self) -> None:
        """End the read under way, if there is one, before it brings anything."""
        await self._connection.unblock()

    async def _read(self) -> None:
        context = self._context
        count = self._pace.count(self, len(self._sources))
        # The first read does not block: a worker without events would not be ready before one came.
        block = ("BLOCK", int(context.settings.block * 1000)) if self.has_read.is_set() else ()
        reply = await self._connection.run(
            "XREADGROUP", "GROUP", context.group, context.consumer, "COUNT", count, *block, *self._tail
        )
        self.has_read.set()
        if self._connection.remade:
            self._stranded.connected_anew()
        items = self._held(reply or {})
        self._pace.was_read(self, len(reply or ()), len(items))
        self._take(items)

    def _aim(self) -> None:
        """Read all sources but those that are known to be of another type, which would make every read fail."""
        keys = [key for key in self._sources if key.decode() not in self._context.spoilt]
        self._again_at = self._context.monotonic() + _AGAIN if len(keys) < len(self._sources) else None
        keys = keys or list(self._sources)
        self._tail = ("STREAMS", *keys, *([">"] * len(keys)))

    async def _look_again(self) -> None:
        if self._again_at is not None and self._context.monotonic() >= self._again_at:
            await self._context.ensure_groups()
            self._aim()

    def _take(self, items: list[Held]) -> None:
        if items:
            self._delivered.inc(len(items))
            self._context.in_hand.add(items)
            self._put(items)

    def _held(self, reply: Any) -> list[Held]:
        now = self._context.monotonic()
        items: list[Held] = []
        for key, entries in reply.items():
            stream, inbox = self._sources[key]
            items.extend(Held(stream, entry_id, fields or {}, inbox=inbox, touched=now) for entry_id, fields in entries)
        return items

    async def _mend(self, error: BaseException, delay: float) -> None:
        """Do what the error calls for, wait, and let the loop go on."""
        self._stranded.read_failed()
        context = self._context
        context.outage.failed(self._name, error)
        if is_no_group(error):
            try:
                made = await context.ensure_groups()
                context.log.warning("groups_made_again", groups=made)
                self._aim()
            except STORE_ERRORS as again:
                context.log.warning("groups_not_made", error=str(again))
        await asyncio.sleep(delay)
