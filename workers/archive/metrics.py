"""What a process counts of the archive."""

from prometheus_client import CollectorRegistry, Counter

__all__ = ["ArchiveMetrics"]


class ArchiveMetrics:
    """Counters of one process; the label is the stream."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter(
            "event_router_archived_events_total", "Events written to the archive.", ["stream"], registry=registry
        )
        self.bytes = Counter(
            "event_router_archived_bytes_total", "Bytes written to the archive, compressed.", registry=registry
        )
        self.failures = Counter(
            "event_router_archive_failures_total",
            "Rounds in which the archive did not take what was due: events wait, and are not trimmed.",
            registry=registry,
        )
