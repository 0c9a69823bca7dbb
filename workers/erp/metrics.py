"""What a worker counts of its requests to ERPs."""

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from prometheus_client import CollectorRegistry

from router.telemetry.fast_metrics import FastCounter, FastHistogram

__all__ = ["ErpMetrics", "Observed"]

_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60)
_STATUSES: Final = (401, 403, 404, 412, 429)
"""What is counted by its own status; all else by its class."""
_NO_ANSWER: Final = "none"
_CLASSES: Final[Mapping[int, str]] = MappingProxyType({number: f"{number}xx" for number in range(1, 6)})


class Observed:
    """The requests to one ERP."""

    def __init__(self, metrics: "ErpMetrics", publisher: str) -> None:
        self._metrics = metrics
        self._publisher = publisher
        self._seconds = metrics.seconds.labels(publisher)
        for status in ("2xx", "3xx", "4xx", "401", "403", "429", "5xx", _NO_ANSWER):  # so that a first increase is seen
            metrics.requests.labels(publisher, status)

    def began(self) -> float:
        """Return what `ended` wants to know."""
        return time.monotonic()

    def ended(self, began: float, status: int | None) -> None:
        """Count a request that was answered with this status, or with nothing."""
        self._seconds.observe(time.monotonic() - began)
        word = _NO_ANSWER if status is None else str(status)
        if status is not None and status not in _STATUSES:
            word = _CLASSES.get(status // 100, word)
        self._metrics.requests.labels(self._publisher, word).inc()


class ErpMetrics:
    """Counters of one worker process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = FastCounter(
            "event_router_erp_requests",
            "Requests to the ERP and its token server by status: 401, 403, 404, 412, 429, the class of any other, or "
            "none where no answer came.",
            registry,
            "publisher",
            "status",
        )
        text = "Seconds that requests to the ERP took."
        self.seconds = FastHistogram("event_router_erp_seconds", text, _SECONDS, registry, "publisher")
