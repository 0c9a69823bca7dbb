"""Keeping what flickers from being said: something must be so for a while, and must not be so for a while."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from workers.incidents import Incident

__all__ = ["Damper"]

_HOLD: Final[Mapping[str, float]] = {"idle": 300, "spool": 60, "quota": 900, "memory": 60}
_CALM: Final[Mapping[str, float]] = {"idle": 120, "spool": 120, "quota": 900, "memory": 600}
"""Seconds, by kind; others are said at once."""

Name = tuple[str, str]


class Damper:
    """Knows since when it has seen what; `monotonic` in seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._seen: dict[Name, float] = {}
        self._missed: dict[Name, float] = {}

    def lasting(self, found: Iterable[Incident]) -> list[Incident]:
        """Return those of what is so that have been so for long enough."""
        now = self._monotonic()
        there = {(one.kind, one.subject): one for one in found}
        self._seen = {name: self._seen.get(name, now) for name in there}
        return [one for name, one in there.items() if now - self._seen[name] >= _HOLD.get(name[0], 0)]

    def over(self, last: Iterable[Incident]) -> list[Incident]:
        """Return those of the incidents that last which have not been seen for long enough."""
        now = self._monotonic()
        missed = {(one.kind, one.subject): one for one in last if (one.kind, one.subject) not in self._seen}
        self._missed = {name: self._missed.get(name, now) for name in missed}
        return [one for name, one in missed.items() if now - self._missed[name] >= _CALM.get(name[0], 0)]
