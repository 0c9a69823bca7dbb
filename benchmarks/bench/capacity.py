"""The capacity model: from what one event costs to how much it takes for so many a second."""

from collections.abc import Sequence
from math import ceil
from typing import Any, NamedTuple

from bench.figures import Figures

__all__ = ["RATES", "Costs", "Need", "costs", "needs"]

RATES = (1_000, 10_000, 100_000, 1_000_000)
"""Events a second to plan for."""

USED = 0.6
"""How much of a processor to plan with; the rest is for peaks, for restarts and for what Redis writes to its disk."""


class Costs(NamedTuple):
    """Microseconds of processor time that an event takes in each process, and bytes it takes in memory."""

    ingress: float
    append: float
    worker: float
    deliver: float
    memory: float

    def rate_of(self, cores: int, extra: float = 0.0) -> float:
        """Return the events a second that all processes together manage on so many cores, beside `extra` µs each."""
        return cores * 1e6 / (self.ingress + self.append + self.worker + self.deliver + extra)


class Need(NamedTuple):
    """What a rate takes: cores for ingress and worker processes, primaries of Redis, GB of memory for an hour of it."""

    rate: int
    ingress: int
    primaries: int
    workers: int
    memory: float


def costs(documents: Sequence[dict[str, Any]]) -> Costs:
    """Return what an event was measured to cost; raises KeyError where a part was not measured."""
    figures = Figures(documents)
    intake, work = ("ingress", "closed loop, 64 connections", "ours"), ("worker", "no-op handler", "ours")
    return Costs(
        figures.get(*intake, "CPU µs/request"),
        figures.get(*intake, "of Redis µs"),
        figures.get(*work, "CPU µs/event"),
        figures.get(*work, "of Redis µs"),
        figures.any_case("idle", "event and its remembered id", "bytes"),
    )


def needs(cost: Costs, rate: int, subscriptions: int = 1) -> Need:
    """Return what `rate` events a second take, each handled by so many subscriptions."""
    seconds = rate / 1e6 / USED
    redis = cost.append + subscriptions * cost.deliver
    hour = rate * 3600 * cost.memory / 1e9
    return Need(
        rate, ceil(seconds * cost.ingress), ceil(seconds * redis), ceil(seconds * subscriptions * cost.worker), hour
    )
