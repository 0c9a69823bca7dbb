"""What a run is to do, and what its parts hand back."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

__all__ = ["Plan", "Samples", "WorkNotDone"]

T = TypeVar("T")


class WorkNotDone(Exception):
    """A subject did not do what its figure would stand for; the message says what is missing."""


@dataclass(frozen=True)
class Plan:
    """How much to measure: `size` is quick, normal or full; `folder` is where the peers are installed.

    `only` names the subjects to measure, all where it is empty; `trees` are other checkouts to measure ours of as well.
    """

    rounds: int
    size: str
    folder: Path
    only: Sequence[str] = ()
    trees: Sequence[Path] = ()

    def pick(self, quick: T, normal: T, full: T) -> T:
        """Return the one for this run's size."""
        return {"quick": quick, "normal": normal, "full": full}[self.size]

    def wants(self, name: str) -> bool:
        """Tell whether a subject is to be measured."""
        return not self.only or any(part in name for part in self.only)

    def interleaved(self, subjects: Sequence[T], rounds: int | None = None) -> Iterator[tuple[int, T]]:
        """Yield (round, subject), all subjects in each round, another one first each time."""
        for number in range(rounds or self.rounds):
            start = number % max(1, len(subjects))
            for subject in (*subjects[start:], *subjects[:start]):
                yield number, subject


@dataclass
class Samples:
    """What was measured: by case and subject the values of each measure, one a round; and what went wrong."""

    values: dict[tuple[str, str], dict[str, list[float]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, case: str, subject: str, measures: dict[str, float]) -> None:
        """Take note of one round."""
        row = self.values.setdefault((case, subject), {})
        for name, value in measures.items():
            row.setdefault(name, []).append(value)
        print(f"  {case} · {subject}: " + ", ".join(f"{name} {value:,.4g}" for name, value in measures.items()))

    def problem(self, text: str) -> None:
        """Take note of something that makes a figure missing or doubtful."""
        self.problems.append(text)
        print(f"  PROBLEM {text}")
