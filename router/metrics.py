"""What ingress counts."""

from prometheus_client import CollectorRegistry, Counter, Histogram

__all__ = ["IngressMetrics"]


class IngressMetrics:
    """Counters of one ingress process; `outcome` and `reason` come from fixed sets, so the label values are bounded."""

    def __init__(self, registry: CollectorRegistry) -> None:
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
        self.seconds = Histogram(
            "event_router_accept_seconds",
            "Seconds from a request's headers to its 202.",
            registry=registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
        )
