"""What ingress counts."""

from collections.abc import Callable, Sized

from prometheus_client import CollectorRegistry, Gauge

from router.intake.spool import Spool
from router.intake.writer import Batch
from router.telemetry.fast_metrics import CounterChild, FastCounter, FastHistogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
_EXPECTED = (("401", "signature"), ("401", "unsigned"), ("401", "no_secret"), ("503", "store"), ("503", "internal"))
"""Refusals exposed as 0 from the start: of a counter that appears with its first count, Prometheus sees no increase."""


class IngressMetrics:
    """Counters of one ingress process; `outcome` and `reason` come from fixed sets, so the label values are bounded.

    `publisher` is one of the catalogue, or empty: what a stranger puts into a path never becomes a label.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        text = "Requests answered, by the class of the status: 2xx, 4xx or 5xx."
        self.requests = FastCounter("event_router_requests", text, registry, "publisher", "status")
        text = "Notifications answered 2xx, by what became of them: accepted, duplicate or quarantined."
        self.items = FastCounter("event_router_items", text, registry, "publisher", "outcome")
        text = "Requests not answered 2xx, by status and reason."
        self._refused = FastCounter("event_router_requests_refused", text, registry, "publisher", "status", "reason")
        text = "Seconds from a request's last byte to its 202."
        self.seconds = FastHistogram("event_router_accept_seconds", text, _SECONDS, registry).labels()
        text = "Seconds that the store took for a batch, or took to fail; the deliveries of the spool among them."
        self._append_seconds = FastHistogram("event_router_append_seconds", text, _SECONDS, registry).labels()
        text = "Items appended in one round trip: how well requests share them."
        self._append_items = FastHistogram("event_router_append_batch_items", text, _SIZES, registry).labels()

    def open_door(self, publisher: str) -> CounterChild:
        """Tell of a publisher from now on; return what counts its 2xx."""
        for status, reason in _EXPECTED:
            self._refused.labels(publisher, status, reason)
        _, _, answered = (self.requests.labels(publisher, status) for status in ("5xx", "4xx", "2xx"))
        return answered

    def refused(self, publisher: str, status: int, reason: str) -> None:
        """Count a request that is not answered 2xx."""
        self._refused.labels(publisher, status, reason).inc()
        self.requests.labels(publisher, f"{status // 100}xx").inc()

    def watch(self, spool: Spool) -> None:
        """Report how full the spool is, whenever somebody asks."""
        figures = {
            "spool_entries": ("Events that wait on disk for the store.", lambda: spool.entries),
            "spool_bytes": ("Bytes of the events that wait on disk for the store.", lambda: spool.bytes),
            "spool_max_bytes": ("Bytes that may wait on disk for the store.", lambda: spool.max_bytes),
            "spool_age_seconds": ("Seconds for which something has been waiting on disk.", lambda: spool.age),
            "spooling": (
                "1 while the store does not take what it should, 0 otherwise.",
                spool.store.failed.is_set,
            ),
        }
        for name, (text, read) in figures.items():
            Gauge(f"event_router_{name}", text, registry=self._registry).set_function(read)

    def watch_batches(self, batch: Batch) -> None:
        """Report how many items share a round trip, and how long that takes."""

        def sent(items: int, seconds: float) -> None:
            self._append_items.observe(items)
            self._append_seconds.observe(seconds)

        batch.sent = sent

    def watch_connections(self, connections: Sized) -> Callable[[], None]:
        """Report how many senders are connected, whenever somebody asks; return what counts one that had to go."""
        text = "Connections of senders that are open."
        Gauge("event_router_connections", text, registry=self._registry).set_function(lambda: len(connections))
        text = "Connections of senders that were ended to make room for others."
        return FastCounter("event_router_connections_shed", text, self._registry).labels().inc
