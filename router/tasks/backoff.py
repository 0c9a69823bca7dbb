"""Waiting times before something is tried again: by a loop while the store is away, by a parent whose child ended."""

from dataclasses import dataclass
from random import Random


class Backoff:
    """Delays in seconds that double from `first` to `last`, each with jitter, until reset."""

    def __init__(self, random: Random, first: float = 0.05, last: float = 1.0) -> None:
        self._random = random
        self._first = first
        self._last = last
        self._ceiling = first

    def next(self) -> float:
        """Return how long to wait now: between half of the present ceiling and all of it."""
        ceiling, self._ceiling = self._ceiling, min(self._last, self._ceiling * 2)
        return self._random.uniform(ceiling / 2, ceiling)

    def reset(self) -> None:
        """Start again at the first delay: something worked."""
        self._ceiling = self._first


@dataclass(frozen=True)
class RestartDelay:
    """The wait before a restart, in seconds: doubling, and from the start again after a good while up."""

    first: float = 0.1
    maximum: float = 5.0
    reset_after: float = 30.0

    def following(self, delay: float | None, uptime: float) -> float:
        """Return the delay that comes after `delay` (None: there was none) for what ran `uptime` seconds."""
        if delay is None or uptime >= self.reset_after:
            return self.first
        return min(delay * 2, self.maximum)
