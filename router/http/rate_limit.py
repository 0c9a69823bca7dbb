"""How many of something are let through a second, with a burst allowed: a token bucket kept as one time (GCRA)."""

import math
import time
from collections.abc import Callable

_GRAIN = 1e-9  # seconds that rounding may be off by


class RateLimit:
    """Lets `rate` a second through, and `burst` at once after a pause; `clock` returns seconds and never goes back."""

    __slots__ = ("_clock", "_interval", "_spent_until", "_tolerance", "burst", "rate")

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst = rate, burst
        self._interval = 1 / rate
        self._tolerance = (burst - 1) * self._interval
        self._clock = clock
        self._spent_until = -math.inf  # when all that was let through would have come, had it come evenly

    def take(self) -> float:
        """Let one through and return 0, or return for how many seconds none will be."""
        now = self._clock()
        spent_until = max(self._spent_until, now)
        if (wait := spent_until - now - self._tolerance) > _GRAIN:
            return wait
        self._spent_until = spent_until + self._interval
        return 0.0


class Sparing:
    """Keeps a log line that strangers can cause from filling the disk; what is left out is counted."""

    __slots__ = ("_left_out", "_limit")

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._left_out = 0

    def next(self) -> dict[str, int] | None:
        """Return what the line is to say beside its own: how many were left out before it. None: leave it out too."""
        if self._limit.take():
            self._left_out += 1
            return None
        more = {"unlogged_before": self._left_out} if self._left_out else {}
        self._left_out = 0
        return more


def retry_after(wait: float) -> str:
    """Return the value of a `Retry-After` header: whole seconds, at least one."""
    return str(max(1, math.ceil(wait)))
