"""Waiting times of a loop that goes on by itself while the store is away."""

from random import Random

__all__ = ["Backoff"]


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
