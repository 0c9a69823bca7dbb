"""A Prometheus counter that costs next to nothing to feed: one addition, no lock and no labels to find.

Feed it from the event loop's thread only.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector


class CounterChild:
    """How many there were with certain values of the labels."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, number: float = 1.0) -> None:
        """Count so many more."""
        self.value += number


class FastCounter(Collector):
    """A counter `name` (without `_total`) with the given labels, one child for each of their values."""

    def __init__(self, name: str, documentation: str, registry: CollectorRegistry, *labels: str) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._children: dict[tuple[str, ...], CounterChild] = {}
        registry.register(self)

    def labels(self, *values: object) -> CounterChild:
        """Return what counts for these values of the labels, exposed from now on; the caller keeps it."""
        return self._children.setdefault(tuple(map(str, values)), CounterChild())

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the counter, for Prometheus."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, child in self._children.items():
            family.add_metric(values, child.value)
        yield family
