"""Heartbeats: renewing the hold on what is buffered and running, and telling the others that this consumer lives."""

import asyncio
from collections.abc import Awaitable, Callable

from router import scripts
from router.store import STORE_ERRORS
from workers.context import Context
from workers.delivery import Held
from workers.groups import is_no_group

__all__ = ["Heartbeat"]


class Heartbeat:
    """Beats three times a lease; calls `recover(consumer)` for each consumer it is told has died."""

    def __init__(self, context: Context, recover: Callable[[str], Awaitable[None]]) -> None:
        self._context = context
        self._recover = recover

    async def run(self) -> None:
        """Beat until cancelled; a beat that the store does not take is made up for by the next."""
        context = self._context
        while True:
            await asyncio.sleep(context.settings.lease / 3)
            try:
                await self.extend()
                for consumer in await self.beat():
                    await self._recover(consumer)
            except STORE_ERRORS as error:
                context.log.warning("heartbeat_failed", error=f"{type(error).__name__}: {error}")

    async def beat(self) -> list[str]:
        """Say that this consumer lives; return those that were silent for longer than a lease."""
        context = self._context
        lease = int(context.settings.lease * 1000)
        dead = await context.store.call(scripts.beat(context.keys.consumers(context.group), context.consumer, lease))
        return [consumer.decode() for consumer in dead]

    async def extend(self) -> None:
        """Renew the hold on everything in hand, and note what was lost to others."""
        context = self._context
        chunks = _chunks(context)
        calls = [
            scripts.extend(source, context.group, context.consumer, [held.entry_id for held in chunk])
            for source, chunk in chunks
        ]
        now = context.monotonic()
        replies = await context.store.run(calls) if calls else []
        for (_, chunk), reply in zip(chunks, replies, strict=True):
            if isinstance(reply, BaseException) and not is_no_group(reply):
                raise reply
            lost = {held.entry_id for held in chunk} if isinstance(reply, BaseException) else set(reply)
            for held in chunk:
                held.touched = now
                held.lost = held.entry_id in lost
        context.metrics.in_hand.labels(context.group).set(len(context.held))


def _chunks(context: Context) -> list[tuple[str, list[Held]]]:
    by_source: dict[str, list[Held]] = {}
    for held in context.held:
        by_source.setdefault(context.source(held), []).append(held)
    return [
        (source, items[start : start + scripts.BATCH])
        for source, items in by_source.items()
        for start in range(0, len(items), scripts.BATCH)
    ]
