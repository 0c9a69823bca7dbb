"""Everything that is known of a run when it is over."""

from dataclasses import dataclass, field
from typing import Any

from faults.happening import Happening
from faults.verdict import Verdict

__all__ = ["Outcome"]


@dataclass(slots=True)
class Outcome:
    """What was done, what came of it, and whether that is what was promised."""

    name: str
    seed: int
    seconds: float
    happenings: list[Happening]
    verdict: Verdict
    answers: dict[str, int]
    """How many requests were answered how."""
    hands: list[str]
    """What would have needed a hand: processes that ended by themselves, did not end, or did not go on."""
    starved: list[Happening] = field(default_factory=list)
    """When the machine did not let a worker run."""
    memory: list[dict[str, int]] = field(default_factory=list)
    """Bytes of each process, at quarters of the run."""
    figures: dict[str, Any] = field(default_factory=dict)
    """What this kind of run measures besides."""
    failures: list[str] = field(default_factory=list)
    """What this kind of run demands besides, and did not get."""

    @property
    def passed(self) -> bool:
        """Whether every promise was kept."""
        return self.verdict.passed and not self.hands and not self.failures
