"""Heartbeats: renewing the hold on what is buffered and running, and telling the others that this consumer lives."""

import asyncio
from collections.abc import Awaitable, Callable

from router.store import scripts
from router.store.errors import STORE_ERRORS, is_no_group
from router.tasks.backoff import Backoff
from workers.consuming.context import Context
from workers.state.groups import name_of


class Heartbeat:
    """Beats three times a lease; calls `recover(consumer)` for each consumer that the store says has died.

    It asks who died only after it has itself reached the store for a whole lease without a gap. Otherwise the first to
    come back after an outage would take all the others for dead, who could not have reached the store either. An
    answer that was long in coming is such a gap: the store may have hung, and taken this beat before theirs.
    """

    def __init__(self, context: Context, recover: Callable[[str], Awaitable[None]]) -> None:
        self._context = context
        self._recover = recover
        self._since: float | None = None
        self._last = 0.0

    async def run(self) -> None:
        """Beat until cancelled; a beat that the store does not take is made up for soon."""
        context = self._context
        third = pause = context.settings.lease / 3
        backoff = Backoff(context.random)
        while True:
            await asyncio.sleep(pause)
            try:
                for consumer in await self.beat():
                    await self._recover(consumer)
                await self.extend()
            except STORE_ERRORS as error:
                context.outage.failed("heartbeat", error)
                pause = min(third, backoff.next())
            else:
                pause = third
                backoff.reset()
                context.outage.over("heartbeat")

    async def beat(self) -> list[str]:
        """Say that this consumer lives; return those that were silent for longer than a lease, if it may judge."""
        context = self._context
        lease = context.settings.lease
        now = context.monotonic()
        if self._since is None or now - self._last > lease:
            self._since = now
        key = context.keys.consumers(context.group)
        call = scripts.beat(key, context.consumer, int(lease * 1000), judge=now - self._since >= lease)
        try:
            dead = await context.store.call(call)
        except STORE_ERRORS:
            self._since = None
            raise
        self._last = context.monotonic()
        if self._last - now > lease / 3:  # as long as between two beats
            self._since = None
            return []
        return [name_of(consumer) for consumer in dead]

    async def extend(self) -> None:
        """Renew the hold on everything in hand, and note what was lost to others."""
        context = self._context
        shares = context.moves.extend(context.in_hand)
        now = context.monotonic()
        replies = await context.store.run([call for call, _ in shares]) if shares else []
        for (_, share), reply in zip(shares, replies, strict=True):
            if isinstance(reply, BaseException) and not is_no_group(reply):
                raise reply
            lost = set(share) if isinstance(reply, BaseException) else context.moves.lost(share, reply)
            context.in_hand.touch(share, now, lost)
