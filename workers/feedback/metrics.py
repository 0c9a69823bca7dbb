"""What a worker counts of the feedback that it gives."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge

from router.telemetry.fast_metrics import FastCounter

__all__ = ["FeedbackMetrics"]

_OUTCOMES = ("posted", "refused", "late", "overflow", "failed", "left")


class FeedbackMetrics:
    """Counters of one worker process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.notes = FastCounter(
            "event_router_feedback",
            "Feedback to the ERP by what became of it: posted; or not posted, since the ERP refused it, it came to "
            "nothing within two hours (late), too much waited already (overflow), it failed here, or the worker "
            "stopped (left).",
            registry,
            "publisher",
            "outcome",
        )
        self._waiting = Gauge(
            "event_router_feedback_waiting", "Feedback that waits for the ERP to take it.", registry=registry
        )

    def watch(self, waiting: Callable[[], int]) -> None:
        """Have the gauge say what this returns."""
        self._waiting.set_function(waiting)

    def show(self, publisher: str) -> None:
        """Tell of a publisher from now on: of a counter that appears with its first count no increase is seen."""
        for outcome in _OUTCOMES:
            self.notes.labels(publisher, outcome)
