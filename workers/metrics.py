"""What a worker counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from router.timings import Timings

__all__ = ["WorkerMetrics"]


class WorkerMetrics:
    """Counters of one worker process; labels are subscriptions and a fixed set of outcomes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.delivered = Counter(
            "event_router_deliveries_total",
            "Deliveries read from the streams.",
            ["subscription"],
            registry=registry,
        )
        self.outcomes = Counter(
            "event_router_outcomes_total",
            "Finished attempts by outcome: done, retried, dead, lost (another consumer took over) or returned.",
            ["subscription", "outcome"],
            registry=registry,
        )
        self.recovered = Counter(
            "event_router_recovered_total",
            "Deliveries taken over from consumers that died.",
            ["subscription"],
            registry=registry,
        )
        self.gone = Counter(
            "event_router_gone_total",
            "Pending deliveries whose entry somebody had deleted from the stream.",
            ["subscription"],
            registry=registry,
        )
        bounds = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300)
        text = "Seconds a handler took."
        self.seconds = Timings("event_router_handler_seconds", text, bounds, registry, "subscription")
        self.in_hand = Gauge(
            "event_router_in_hand",
            "Deliveries read and not yet finished.",
            ["subscription"],
            registry=registry,
        )
        self.trimmed = Counter(
            "event_router_events_trimmed_total",
            "Events removed by retention: finished by every subscription, and older than retention.events.",
            ["stream"],
            registry=registry,
        )
        self.dead_letters_discarded = Counter(
            "event_router_dead_letters_discarded_total",
            "Dead letters removed by retention: unfinished events that nobody will handle any more.",
            ["subscription", "stream"],
            registry=registry,
        )
        self.quarantine_discarded = Counter(
            "event_router_quarantine_discarded_total",
            "Quarantined bodies removed by retention.",
            ["publisher"],
            registry=registry,
        )
