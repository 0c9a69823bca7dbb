"""What the store holds, as metrics: how full the streams are, and how far each subscription is with them.

Looked up when somebody scrapes, and then kept for a few seconds, so that an idle system stays quiet. Every worker and
the console tell the same figures, and any of them may be the last that runs: take the largest over all, never the sum.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from config.errors import told
from router import logs
from router.catalogue import Catalogue
from router.pages import checked
from router.store import STORE_ERRORS, Store, StoreUnavailable
from workers.former import all_streams
from workers.liveness import live_consumers
from workers.oldest import Way, oldest_waiting
from workers.overview import StreamOverview, overview
from workers.pausing import paused

__all__ = ["StoreMetrics"]

_KEPT = 5.0
"""Seconds for which an answer is good enough."""
_PATIENCE = 2.5
"""Seconds that the store may take for it: who scrapes gives up after some, and then has nothing at all."""
_FIGURES = {
    "lag": "Events that wait to be handed to a worker, in the stream or in the subscription's inbox.",
    "pending": "Events in the hands of a worker.",
    "scheduled": "Events that wait for their next attempt.",
    "dead": "Dead letters.",
}

_log = logs.get("store")


@dataclass(frozen=True, slots=True)
class _Figures:
    """What was found: by stream and subscription, by publisher, by subscription."""

    streams: Sequence[StreamOverview]
    oldest: Mapping[Way, float]
    quarantined: Mapping[str, int]
    workers: Mapping[str, int]
    paused: Mapping[str, float]


class StoreMetrics(Collector):
    """The figures as of the last `refresh`; `lease` in seconds, `monotonic` in seconds."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        lease: float,
        registry: CollectorRegistry,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._lease = lease
        self._monotonic = monotonic
        self._looking = asyncio.Lock()
        self._looked_at = float("-inf")
        self._figures: _Figures | None = None
        self._failing = False
        registry.register(self)

    async def refresh(self) -> None:
        """Look at the store unless somebody just did; never raises: a store that is away is a figure, too."""
        async with self._looking:
            if self._monotonic() - self._looked_at < _KEPT:
                return
            self._figures = await self._look()
            self._looked_at = self._monotonic()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield what was found; nothing but `event_router_store_up` where the store did not answer."""
        up = GaugeMetricFamily("event_router_store_up", "1 where the store answered all questions, 0 where it did not.")
        up.add_metric([], self._figures is not None)
        yield up
        figures = self._figures or _Figures((), {}, {}, {}, {})
        yield from _of_streams(figures)
        yield from _of_ways(figures)
        text = "Workers of a subscription that gave a sign of life within the lease."
        yield _family("subscription_workers", text, "subscription", figures.workers)
        text = "Seconds for which a subscription has been paused; 0 where it is not."
        yield _family("subscription_paused_seconds", text, "subscription", figures.paused)

    async def _look(self) -> _Figures | None:
        try:
            async with asyncio.timeout(_PATIENCE):
                figures = await self._ask()
        except (StoreUnavailable, *STORE_ERRORS) as error:
            if not self._failing:
                _log.warning("store_figures_missing", error=told(error))
            self._failing = True
            return None
        self._failing = False
        return figures

    async def _ask(self) -> _Figures:
        store = self._store
        names = await all_streams(store, self._catalogue)
        streams = await overview(store, names)
        publishers = list(dict.fromkeys(name.partition("/")[0] for name in names))
        lengths = checked(await store.commands([("XLEN", store.keys.quarantine(slug)) for slug in publishers]))
        subscriptions = sorted({way.name for seen in streams for way in seen.subscriptions})
        alive = await live_consumers(store, subscriptions, self._lease)
        pauses = await paused(store, subscriptions)
        return _Figures(
            streams,
            await oldest_waiting(store, streams),
            dict(zip(publishers, lengths, strict=True)),
            {name: len(consumers) for name, consumers in alive.items()},
            {name: _since(pauses[name].since) if name in pauses else 0.0 for name in subscriptions},
        )


def _since(moment: datetime) -> float:
    return max(0.0, (datetime.now(UTC) - moment).total_seconds())


def _of_streams(figures: _Figures) -> Iterator[GaugeMetricFamily]:
    lengths = {seen.stream: seen.length for seen in figures.streams}
    yield _family("stream_events", "Events that a stream holds, finished or not.", "stream", lengths)
    text = "Bodies in quarantine: signed, but not understood."
    yield _family("quarantine_entries", text, "publisher", figures.quarantined)


def _of_ways(figures: _Figures) -> Iterator[GaugeMetricFamily]:
    labels = ["stream", "subscription"]
    for name, text in _FIGURES.items():
        family = GaugeMetricFamily(f"event_router_subscription_{name}_events", text, labels=labels)
        for seen in figures.streams:
            for way in seen.subscriptions:
                family.add_metric([seen.stream, way.name], getattr(way, name))
        yield family
    text = "Seconds since the oldest event that waits or is in hand came to its stream or inbox; 0 for none."
    oldest = GaugeMetricFamily("event_router_subscription_oldest_seconds", text, labels=labels)
    for seen in figures.streams:
        for way in seen.subscriptions:
            oldest.add_metric([seen.stream, way.name], figures.oldest.get((seen.stream, way.name), 0.0))
    yield oldest


def _family(name: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"event_router_{name}", text, labels=[label])
    for value, figure in values.items():
        family.add_metric([value], figure)
    return family
