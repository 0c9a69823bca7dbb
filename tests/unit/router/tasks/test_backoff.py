"""Waiting times while the store is away."""

from random import Random

import pytest

from router.tasks.backoff import Backoff


class Draw(Random):
    """Draws the longest or the shortest delay."""

    def __init__(self, *, longest: bool) -> None:
        super().__init__()
        self._longest = longest

    def uniform(self, a: float, b: float) -> float:
        """Draw."""
        return b if self._longest else a


def test_delays_double_up_to_the_last() -> None:
    """A store that stays away is asked less and less often, down to a steady rate."""
    backoff = Backoff(Draw(longest=True), first=0.1, last=1.0)
    assert [backoff.next() for _ in range(6)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_jitter_takes_off_half_at_the_most() -> None:
    """Workers that lost the store together do not come back together, and none hammers it."""
    backoff = Backoff(Draw(longest=False), first=0.1, last=1.0)
    assert [backoff.next() for _ in range(6)] == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.5, 0.5])


def test_a_success_starts_again() -> None:
    """After a reset the next wait is short."""
    backoff = Backoff(Draw(longest=True))
    first = [backoff.next() for _ in range(10)]
    backoff.reset()
    assert backoff.next() == first[0] == 0.05
    assert max(first) == 1.0
