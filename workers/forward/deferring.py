"""What a receiver puts off by Retry-After: nothing is sent before that time, and operators see it."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random

from workers.outcomes import Defer
from workers.state.forwards import Deferral

__all__ = ["Deferring"]

_SPREAD = 0.2
"""Part of the time for which a receiver put events off, over which they come back."""
_PATIENCE = 2.0
"""Seconds for which an event waits in its lane until it may be sent: the way through the store would cost more."""


class Deferring:
    """Until when one receiver takes nothing; `deferral` is what operators see of that, None for nothing.

    random: spreads what was put off. clock in epoch seconds, monotonic in seconds.
    """

    def __init__(self, random: Random, clock: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._random = random
        self._clock = clock
        self._monotonic = monotonic
        self.forget()

    def forget(self) -> None:
        """Let all be sent: it goes to another receiver."""
        self._until, self._why = float("-inf"), ""
        self.deferral: Deferral | None = None

    async def wait(self) -> None:
        """Return once events may be sent; raises Defer where that is not in a moment."""
        while (left := self._until - self._monotonic()) > 0:
            if left > _PATIENCE:
                raise self.spread(Defer(left, self._why))
            await asyncio.sleep(left)

    def begin(self, found: Defer, *, holds: bool = True) -> Defer:
        """Take note of an answer that puts off, and return what becomes of its event.

        holds: whether what comes meanwhile is not sent either, unless something else sees to that.
        """
        now, why = self._clock(), str(found)
        if holds:
            self._until, self._why = self._monotonic() + found.delay, why
        since = datetime.fromtimestamp(now, UTC) if self.deferral is None else self.deferral.since
        self.deferral = Deferral(since, datetime.fromtimestamp(now + found.delay, UTC), why)
        return self.spread(found)

    def ended(self) -> None:
        """Take note of another answer: after the time that was named it is over, before that it was under way."""
        if self.deferral is not None and self.deferral.until.timestamp() <= self._clock():
            self.deferral = None

    def spread(self, found: Defer) -> Defer:
        """Return when an event comes back that is put off so."""
        return Defer(found.delay * self._random.uniform(1, 1 + _SPREAD), str(found))
