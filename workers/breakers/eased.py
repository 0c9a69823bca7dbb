"""A breaker for what is called thousands of times a second: while all is well it asks the store now and then alone."""

import time
from collections.abc import Callable
from types import TracebackType

from workers.breakers.breaker import Breaker
from workers.breakers.call import Call, Ticket

__all__ = ["EasedBreaker"]

_EASE = 0.25
"""Seconds for which a success that the store knows of stands for those that follow."""


class EasedBreaker(Breaker):
    """A breaker that reports each failure to the store, and one success in a while.

    So another worker's opening is heard of a quarter of a second late: what goes meanwhile counts as what ran as it
    opened. `monotonic` in seconds.
    """

    def __init__(
        self, name: str, *, failures: int = 5, interval: float = 10.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(name, failures=failures, interval=interval)
        self._monotonic = monotonic
        self._well: Ticket | None = None
        self._until = float("-inf")

    async def __aenter__(self) -> Call:
        """Return where a call may go now; raises BreakerOpen."""
        if self._well is not None and self._monotonic() < self._until:
            return self._enter(self._well)
        return await super().__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take note of how the call ended; raises BreakerOpen where it failed and the target is down."""
        del kind, trace
        call = self._left()
        if call is None or (heard := self._heard(call, error)) is None:
            return
        if not heard and self._well is not None and self._monotonic() < self._until:
            return
        self._well = None
        agent = self._agent
        seconds = await agent.home.here(lambda: agent.hear(self._terms, call.ticket, heard))
        if not heard:
            self._well, self._until = call.ticket, self._monotonic() + _EASE
        self._leave(seconds, error)
