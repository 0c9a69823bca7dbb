"""What ingress counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from router.spool import Spool
from router.timings import Timings

__all__ = ["IngressMetrics"]


class IngressMetrics:
    """Counters of one ingress process; `outcome` and `reason` come from fixed sets, so the label values are bounded."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.items = Counter(
            "event_router_items_total",
            "Notifications answered 2xx, by what became of them: accepted, duplicate or quarantined.",
            ["publisher", "outcome"],
            registry=registry,
        )
        self.refused = Counter(
            "event_router_requests_refused_total",
            "Requests not answered 2xx, by status and reason.",
            ["publisher", "status", "reason"],
            registry=registry,
        )
        bounds = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
        text = "Seconds from a request's last byte to its 202."
        self.seconds = Timings("event_router_accept_seconds", text, bounds, registry).labels()

    def watch(self, spool: Spool) -> None:
        """Report how full the spool is, whenever somebody asks."""
        figures = {
            "entries": ("Events that wait on disk for the store.", lambda: spool.entries),
            "bytes": ("Bytes of the events that wait on disk for the store.", lambda: spool.bytes),
            "max_bytes": ("Bytes that may wait on disk for the store.", lambda: spool.max_bytes),
            "age_seconds": ("Seconds for which something has been waiting on disk.", lambda: spool.age),
        }
        for name, (text, read) in figures.items():
            Gauge(f"event_router_spool_{name}", text, registry=self._registry).set_function(read)
