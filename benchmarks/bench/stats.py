"""Medians, spreads and percentiles."""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

__all__ = ["Summary", "percentile", "summary"]


class Summary(NamedTuple):
    """What several rounds say together: their median, the lowest, the highest, and how many there were."""

    median: float
    low: float
    high: float
    rounds: int

    @property
    def spread(self) -> float:
        """The distance of the lowest and the highest, as a part of the median."""
        return (self.high - self.low) / self.median if self.median else 0.0


def summary(values: Sequence[float]) -> Summary:
    """Sum up the values of several rounds; raises ValueError for none."""
    if not values:
        raise ValueError("no rounds to sum up")
    return Summary(median(values), min(values), max(values), len(values))


def percentile(ordered: Sequence[float], part: float) -> float:
    """Return the least value that `part` (0 to 1) of the values, in rising order, do not exceed."""
    if not ordered:
        raise ValueError("no values to take a percentile of")
    rank = -(-len(ordered) * part // 1)  # rounded up
    return ordered[min(len(ordered), max(1, int(rank))) - 1]
