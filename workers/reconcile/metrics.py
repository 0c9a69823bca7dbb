"""What a process counts of its sweeps."""

from prometheus_client import CollectorRegistry, Counter

__all__ = ["ReconcileMetrics"]


class ReconcileMetrics:
    """Counters of one process; the label is the name of the reconciliation."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, ["reconciliation", *labels], registry=registry)

        self.sweeps = counter(
            "event_router_reconcile_sweeps_total",
            "Sweeps of a company's records by outcome: done, failed, or held (too many records seemed gone).",
            "outcome",
        )
        self.repaired = counter(
            "event_router_reconcile_repaired_total",
            "Changes that no webhook reported, of which a sweep made an event.",
        )
        self.deleted = counter(
            "event_router_reconcile_deleted_total",
            "Records that were gone and no webhook reported it, of which a sweep made an event.",
        )

    def show(self, name: str) -> None:
        """Tell of a reconciliation from now on: of a counter that appears with its first count no increase is seen."""
        for outcome in ("done", "failed", "held"):
            self.sweeps.labels(name, outcome)
        self.repaired.labels(name)
        self.deleted.labels(name)
