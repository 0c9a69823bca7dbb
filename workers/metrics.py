"""What a worker counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from router.telemetry.fast_metrics import FastCounter, FastHistogram

__all__ = ["WorkerMetrics"]

_HANDLER_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300)
_QUEUE_SECONDS = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 14400)


class WorkerMetrics:
    """Counters of one worker process; labels are subscriptions and a fixed set of outcomes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        self.delivered = counter("event_router_deliveries_total", "Deliveries read from the streams.", "subscription")
        self.outcomes = counter(
            "event_router_outcomes_total",
            "Finished attempts by outcome: done, retried, deferred, dead, lost (another consumer has it) or returned.",
            "subscription",
            "outcome",
        )
        self.recovered = counter(
            "event_router_recovered_total", "Deliveries taken over from consumers that died.", "subscription"
        )
        self.gone = counter(
            "event_router_gone_total",
            "Pending deliveries whose entry somebody had deleted from the stream.",
            "subscription",
        )
        text = "Seconds a handler took."
        self.seconds = FastHistogram("event_router_handler_seconds", text, _HANDLER_SECONDS, registry, "subscription")
        text = "Seconds that events waited from their receipt to the start of their first attempt."
        self.waited = FastHistogram("event_router_queue_seconds", text, _QUEUE_SECONDS, registry, "subscription")
        self.merged = counter(
            "event_router_merged_total",
            "Events that ended together with a later one of their key, into which they were merged.",
            "subscription",
        )
        self.already_done = counter(
            "event_router_already_done_total",
            "Deliveries that `once` ended, since their effect was made at an earlier delivery.",
            "subscription",
        )
        self.echoes = counter(
            "event_router_echoes_total",
            "Events that were done without their handler, since their record holds nothing new but writes of ours.",
            "subscription",
        )
        self.skipped = counter(
            "event_router_skipped_total",
            "Events that the filter of the subscription skipped: done without its handler.",
            "subscription",
        )
        self.limit_calls = counter(
            "event_router_limit_calls_total",
            "Calls of a limit by what became of them: granted, deferred, local (granted while the store was away), "
            "or refused (the other side answered 429).",
            "limit",
            "outcome",
        )
        self.breaker_calls = counter(
            "event_router_breaker_calls_total",
            "Calls that asked a breaker, by what became of them: went, or waited; of those that went, failed.",
            "breaker",
            "outcome",
        )
        self.lanes_lost = counter(
            "event_router_lanes_lost_total",
            "Handler lanes that ended although nobody had ended them, and were opened again.",
            "subscription",
        )
        self.in_hand = Gauge(
            "event_router_in_hand", "Deliveries read and not yet finished.", ["subscription"], registry=registry
        )
        self.in_flight = Gauge(
            "event_router_in_flight", "Deliveries whose handler runs now.", ["subscription"], registry=registry
        )
        self.trimmed = counter(
            "event_router_events_trimmed_total",
            "Events removed by retention: finished by every subscription, and older than retention.events.",
            "stream",
        )
        self.dead_letters_discarded = counter(
            "event_router_dead_letters_discarded_total",
            "Dead letters removed by retention: unfinished events that nobody will handle any more.",
            "subscription",
            "stream",
        )
        self.quarantine_discarded = counter(
            "event_router_quarantine_discarded_total", "Quarantined bodies removed by retention.", "publisher"
        )
        rounds = FastCounter(
            "event_router_retention_rounds",
            "Rounds of retention that this worker did for all: done, or failed where the store refused any part of it.",
            registry,
            "outcome",
        )
        self.rounds_failed, self.rounds_done = (rounds.labels(outcome) for outcome in ("failed", "done"))

    def subscribe(self, subscription: str) -> None:
        """Tell of a subscription from now on: of a counter that appears with its first count no increase is seen."""
        for counter in (
            self.delivered,
            self.recovered,
            self.gone,
            self.merged,
            self.already_done,
            self.echoes,
            self.skipped,
            self.lanes_lost,
        ):
            counter.labels(subscription)
