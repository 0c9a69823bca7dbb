"""What was done to the system, when and to whom; and whether that explains why an event was handled twice.

An explanation is narrow on purpose: it names the process that had the event in hand, and the moment. Whatever no fault
explains so is a fault of the router.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from faults.commands import LEASE
from faults.turns import Turn
from faults.verdict import Double

__all__ = ["STARVED", "Explainer", "Happening"]

STARVED = "starved by the machine"
"""What happens to a worker that the machine does not let run."""

_LAG = 2.0
"""Seconds that an acknowledgement may take on a busy machine."""
_AFTERMATH = 60.0
"""Seconds after a fault in which what it caused may come."""


@dataclass(slots=True)
class Happening:
    """One fault as it was made; times are those of `time.monotonic`, recoveries in seconds after its end."""

    fault: str
    target: str = ""
    began: float = 0.0
    ended: float = 0.0
    killed: set[int] = field(default_factory=set)
    """Workers that ended with events in hand."""
    cut_off: set[int] = field(default_factory=set)
    """Workers that could not renew their lease while others could."""
    rolled_back: bool = False
    """Whether the server was killed: with `appendfsync everysec` it may forget what came last."""
    destroyed: set[tuple[str, str]] = field(default_factory=set)
    """Subscriptions and the streams of which they get all events once more, because their group was destroyed."""
    flushed: bool = False
    """Whether the store was emptied, and with it the memory of what was there."""
    recovered: float | None = None
    """Until every ingress had answered 2xx and every subscription had handled an event."""
    whole: float | None = None
    """Until every worker had handled an event for each of its subscriptions."""


class Explainer:
    """Tells which fault made a double: the last that can have, where several can."""

    def __init__(self, happenings: Sequence[Happening]) -> None:
        self._happenings = happenings
        self._began_again: set[tuple[int, str, str]] = set()

    def __call__(self, double: Double) -> str | None:
        """Return the kind of cause, None if no fault can have made this double."""
        causes = (self._cause(number, double) for number in reversed(range(len(self._happenings))))
        return next(filter(None, causes), None)

    def fenced(self, turn: Turn, at: float) -> bool:
        """Return whether the worker of a turn can have lost its hold on the key by a time, and not have known it.

        What keeps all workers from the store takes no hold away: nobody can have renewed one.
        """
        return any(
            turn.pid in one.cut_off and one.began + LEASE / 2 <= at and turn.start <= one.ended + _LAG
            for one in self._happenings
        )

    def _cause(self, number: int, double: Double) -> str | None:
        happening = self._happenings[number]
        lag = _LAG + self._hindered(double.first.at, happening.began)
        if cause := _cause_in_hand(happening, double, lag):
            return cause
        cause = _cause_in_store(happening, double)
        key = (number, double.subscription, double.id)
        if cause is None or key in self._began_again:  # it brings an event once more, not twice
            return None
        self._began_again.add(key)
        return cause

    def _hindered(self, since: float, until: float) -> float:
        """Return for how many of the seconds between two times faults kept the workers from acknowledging."""
        faults = [one for one in self._happenings if one.fault != STARVED]
        return sum(max(0.0, min(until, one.ended + (one.whole or 0.0)) - max(since, one.began)) for one in faults)


def _cause_in_hand(happening: Happening, double: Double, lag: float) -> str | None:
    """Return how a fault explains a double of an event that a worker had in hand; `lag` is how old it may have been.

    A killed worker had handled it but not said so; one that was cut off lost it to another, and handled it too; a
    server that was killed forgot that it was done.
    """
    first, again = double.first, double.again
    began, ended = happening.began, happening.ended
    after = began <= again.at <= ended + _AFTERMATH
    forgotten = after and began - lag <= first.at <= ended
    if forgotten and first.pid in happening.killed and again.pid != first.pid:
        return "worker killed"
    lost = after and first.at <= ended + _LAG
    soon = again.at - first.at <= ended - began + 2 * _LAG
    # Who takes over handles what it got as suspects, one after the other, which may take long.
    if lost and (first.pid in happening.cut_off or (soon and again.pid in happening.cut_off)):
        return "lease lost" if happening.fault != STARVED else f"lease lost, {STARVED}"
    return "server rolled back" if forgotten and happening.rolled_back else None


def _cause_in_store(happening: Happening, double: Double) -> str | None:
    """Return how a fault explains a double of any event, long done or not: its stream begins again, or is forgotten."""
    if double.first.at > happening.ended + _LAG or double.again.at < happening.began:
        return None
    if (double.subscription, double.stream) in happening.destroyed:
        return "group destroyed"
    return "store flushed" if happening.flushed else None
