"""What a process counts of its notifiers."""

from prometheus_client import CollectorRegistry, Counter

__all__ = ["NotifyMetrics"]


class NotifyMetrics:
    """Counters of one process; the label is the name of the notifier."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.messages = Counter(
            "event_router_notify_messages_total",
            "Messages of a notifier by outcome: sent, or failed and tried again.",
            ["notifier", "outcome"],
            registry=registry,
        )
        self.notices = Counter(
            "event_router_notify_notices_total",
            "Notices of a notifier by what became of them: reported, late (in a sum alone) or lost (trimmed before).",
            ["notifier", "how"],
            registry=registry,
        )

    def show(self, name: str) -> None:
        """Show a notifier from now on: of a counter that appears with its first count no increase is seen."""
        for outcome in ("sent", "failed"):
            self.messages.labels(name, outcome)
        for how in ("reported", "late", "lost"):
            self.notices.labels(name, how)
