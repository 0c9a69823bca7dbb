"""Prometheus metrics that cost next to nothing to feed: an addition, or one look-up in the bounds; no lock, no labels.

Feed them from the event loop's thread only.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class CounterChild:
    """How many there were with certain values of the labels."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, number: float = 1.0) -> None:
        """Count so many more."""
        self.value += number

    def add_to(self, family: CounterMetricFamily, labels: Sequence[str]) -> None:
        """Add what was counted to a family of metrics."""
        family.add_metric(labels, self.value)


class HistogramChild:
    """Counts of how long things took, by upper bounds in seconds."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one that took so long."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Add what was counted to a family of metrics."""
        bounds = [*map(floatToGoString, self._bounds), "+Inf"]
        family.add_metric(labels, list(zip(bounds, accumulate(self._counts), strict=True)), self._sum)


ChildT = TypeVar("ChildT", bound=CounterChild | HistogramChild)


class _Fast(Collector, Generic[ChildT]):
    """A metric with one child for each value of its labels."""

    def __init__(self, family: Callable[[], Any], child: Callable[[], ChildT], registry: CollectorRegistry) -> None:
        self._family, self._child = family, child
        self._children: dict[tuple[str, ...], ChildT] = {}
        registry.register(self)

    def labels(self, *values: object) -> ChildT:
        """Return what counts for these values of the labels, exposed from now on; the caller keeps it."""
        return self._children.setdefault(tuple(map(str, values)), self._child())

    def collect(self) -> Iterator[Metric]:
        """Yield the metric, for Prometheus."""
        family = self._family()
        for values, child in self._children.items():
            child.add_to(family, values)
        yield family


class FastCounter(_Fast[CounterChild]):
    """A counter `name` (without `_total`) with the given labels."""

    def __init__(self, name: str, documentation: str, registry: CollectorRegistry, *labels: str) -> None:
        super().__init__(partial(CounterMetricFamily, name, documentation, labels=labels), CounterChild, registry)


class FastHistogram(_Fast[HistogramChild]):
    """A histogram `name` with the given labels."""

    def __init__(
        self, name: str, documentation: str, bounds: Sequence[float], registry: CollectorRegistry, *labels: str
    ) -> None:
        family = partial(HistogramMetricFamily, name, documentation, labels=labels)
        super().__init__(family, partial(HistogramChild, bounds), registry)
