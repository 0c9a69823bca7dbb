"""Which worker brings the events of a keyed subscription into its lines: one at a time, by a lease."""

import asyncio
from typing import Any

from router.store.errors import STORE_ERRORS
from router.store.lines import Lines
from router.store.reading import named_values
from router.tasks.backoff import Backoff
from router.tasks.ending import set_within
from workers.consuming.context import Context

_LONGEST = 9.0
"""Seconds a lease lasts at most: for so long nothing is brought after the worker that has it died."""


class NoLongerLeader(Exception):
    """Another worker has the lease, or what is known of the sources does not hold any more."""


class Leadership:
    """The lease of one consumer; `token` is what the store knows it by, and refuses all others by."""

    def __init__(self, context: Context, lines: Lines, token: str) -> None:
        self._context = context
        self._lines = lines
        self.token = token
        self.seconds = min(context.settings.lease, _LONGEST)
        self.lost = asyncio.Event()
        """Set from when another worker may have the lease."""
        self._asked = asyncio.Event()

    @property
    def lease(self) -> int:
        """How long the lease lasts, milliseconds."""
        return round(self.seconds * 1000)

    def ask_now(self) -> None:
        """Ask for the lease at once: the worker that had it has given it up."""
        self._asked.set()

    async def won(self) -> dict[str, str]:
        """Wait until this consumer has the lease; return the last place that was brought, by source."""
        backoff = Backoff(self._context.random)
        while True:
            self._asked.clear()
            try:
                has_it, left, *read = await self._lead()
                if has_it and not read:
                    read = [await self._read()]
            except STORE_ERRORS as error:
                self._context.outage.failed("asking for the lease of the lines", error)
                await asyncio.sleep(backoff.next())
                continue
            self._context.outage.over("asking for the lease of the lines")
            if has_it:
                self.lost.clear()
                return _places(read[0])
            await set_within(max(left, 0) / 1000 + self._context.random.uniform(0.0, 0.2), self._asked)

    async def keep(self) -> None:
        """Renew the lease until it is lost or this is cancelled; what the store does not take is made up for soon."""
        backoff, half = Backoff(self._context.random), self.seconds / 2
        pause = half
        while not self.lost.is_set():
            await asyncio.sleep(pause)
            try:
                has_it = (await self._lead())[0]
            except STORE_ERRORS as error:
                self._context.outage.failed("renewing the lease of the lines", error)
                pause = min(half, backoff.next())
                continue
            pause = half
            backoff.reset()
            self._context.outage.over("renewing the lease of the lines")
            if not has_it:
                self.lost.set()

    async def give_up(self) -> None:
        """Let another worker have it at once; raises StoreUnavailable."""
        await self._context.store.call(self._lines.resign(self.token))

    async def _read(self) -> Any:
        """Return what was brought so far, where the lease was ours already: the term before broke off."""
        return await self._context.store.command("HGETALL", self._lines.read)

    async def _lead(self) -> Any:
        limit = self._context.subscription.per_company or 0
        return await self._context.store.call(self._lines.lead(self.token, self.lease, per_company=limit))


def _places(read: Any) -> dict[str, str]:
    return {source.decode(): place.decode() for source, place in named_values(read).items()}
