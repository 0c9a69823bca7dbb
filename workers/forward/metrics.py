"""What forwards count."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter

__all__ = ["ForwardMetrics"]

ANSWERS: Final = ("2xx", "3xx", "4xx", "5xx", "410", "429", "503", "timeout", "unreachable", "refused")


class ForwardMetrics:
    """Counters of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.answers = Counter(
            "event_router_forward_answers_total",
            "Exchanges of a forward by how they ended: the class of the status, of 410, 429 and 503 the status itself; "
            "timeout, unreachable, or refused (the URL leads to an address that must not be reached).",
            ["subscription", "answer"],
            registry=registry,
        )

    def show(self, name: str) -> None:
        """Tell of a forward from now on: of a counter that appears with its first count no increase is seen."""
        for answer in ANSWERS:
            self.answers.labels(name, answer)
