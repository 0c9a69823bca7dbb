"""What a process counts of drift."""

from prometheus_client import CollectorRegistry, Counter

__all__ = ["DriftMetrics"]


class DriftMetrics:
    """Counters of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.changes = Counter(
            "event_router_drift_total",
            "Changes of the fields of a type: a field that is new, has another type (changed), or is missing.",
            ["change"],
            registry=registry,
        )
        for change in (
            "new",
            "changed",
            "missing",
        ):  # of a counter that appears with its first count no increase is seen
            self.changes.labels(change)
