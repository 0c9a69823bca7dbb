"""The comparison: what was sent, acknowledged, stored, handled and buried, id by id, and what is wrong about it."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from faults.ledger import Handling, Ledger
from faults.load import Journal, Notification
from faults.stored import Stored

__all__ = ["Double", "Verdict", "compare", "misplaced"]

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Double:
    """An event that one subscription handled once more: the handling before, and the further one."""

    subscription: str
    stream: str
    id: str
    first: Handling
    again: Handling


Explain = Callable[[Double], str | None]
"""Tells what made an event be handled twice, as far as the faults that were made can explain it; else None."""


@dataclass(slots=True)
class Verdict:
    """The totals, and all that breaks a promise."""

    totals: dict[str, int] = field(default_factory=dict)
    doubled: dict[str, int] = field(default_factory=dict)
    """How many events were handled once more, by what explains it."""
    lost: dict[str, list[str]] = field(default_factory=dict)
    """For each subscription the acknowledged ids that it neither handled nor buried."""
    unexplained: list[Double] = field(default_factory=list)
    wrongs: dict[str, list[Any]] = field(default_factory=dict)
    """Every other broken promise by its name, with what broke it."""

    @property
    def passed(self) -> bool:
        """Whether nothing was lost, nothing doubled without a cause, and no other promise broken."""
        return not (any(self.lost.values()) or self.unexplained or any(self.wrongs.values()))

    def note(self, wrong: str, found: Iterable[Any]) -> None:
        """Note what broke a promise, if anything did."""
        if found := [*found]:
            self.wrongs.setdefault(wrong, []).extend(found)

    def complaints(self) -> list[str]:
        """Return one line for each kind of wrong, with its first few examples."""
        kinds: dict[str, Sequence[Any]] = {f"lost by {name}": ids for name, ids in self.lost.items()}
        kinds |= {"doubled without a cause": self.unexplained, **self.wrongs}
        return [
            f"{kind}: {len(found)}, such as {', '.join(map(str, found[:_SHOWN]))}"
            for kind, found in kinds.items()
            if found
        ]


def compare(
    journal: Journal,
    ledger: Ledger,
    stored: Stored,
    *,
    meant_to_die: Mapping[str, Callable[[str], bool]],
    explain: Explain,
    redelivered: Collection[str] = (),
    since: float = 0.0,
) -> Verdict:
    """Compare everything; what was first sent before `since` need not have arrived (the store was flushed then).

    `meant_to_die` has, for each subscription that buries, which ids it must bury. `redelivered` are the subscriptions
    that got everything again, and may have buried it again.
    """
    verdict = Verdict()
    due = [id_ for id_ in journal.acknowledged if journal.first_sent[id_] >= since]
    for subscription, handled in ledger.handled.items():
        fated = meant_to_die.get(subscription, lambda _id: False)
        dead = stored.dead[subscription]
        verdict.lost[subscription] = [
            id_ for id_ in due if not (id_ in handled or id_ in dead or id_ in stored.dead_with.get(subscription, ()))
        ]
        verdict.note(f"handled by {subscription}, never sent", [id_ for id_ in handled if id_ not in journal.sent])
        _doubles(verdict, journal, subscription, {id_: handled[id_] for id_ in handled if id_ in journal.sent}, explain)
        verdict.note(f"dead with {subscription}, not meant to die", [id_ for id_ in dead if not fated(id_)])
        twice = [] if subscription in redelivered else [id_ for id_, number in dead.items() if number > 1]
        verdict.note(f"more than once among the dead of {subscription}", twice)
        alone = [id_ for id_, handlings in handled.items() if any(one.attempt for one in handlings)]
        verdict.note(f"handled by {subscription}, meant to die", filter(fated, alone))
    verdict.note("never acknowledged", [id_ for id_ in journal.sent if id_ not in journal.acknowledged])
    _stored_once(verdict, journal, stored, set(due))
    verdict.note("answers that break the promise", journal.wrong)
    verdict.note("quarantined", [str(stored.quarantined)] if stored.quarantined else [])
    left = {name: dict(+count) for name, count in stored.unfinished.items() if count.total()}
    verdict.note("left unfinished", [f"{name}: {count}" for name, count in left.items()])
    verdict.totals = _totals(journal, ledger, stored)
    return verdict


def _doubles(
    verdict: Verdict, journal: Journal, subscription: str, handled: Mapping[str, list[Handling]], explain: Explain
) -> None:
    for id_, handlings in handled.items():
        for first, again in pairwise(sorted(handlings)):
            double = Double(subscription, journal.sent[id_].stream, id_, first, again)
            if cause := explain(double):
                verdict.doubled[cause] = verdict.doubled.get(cause, 0) + 1
            else:
                verdict.unexplained.append(double)


def _stored_once(verdict: Verdict, journal: Journal, stored: Stored, due: Collection[str]) -> None:
    everywhere: set[str] = set()
    for stream, ids in stored.streams.items():
        everywhere.update(ids)
        verdict.note(f"more than once in {stream}", [id_ for id_, number in Counter(ids).items() if number > 1])
        verdict.note(f"in {stream}, never sent", [id_ for id_ in ids if id_ not in journal.sent])
        verdict.note(f"out of order in {stream}", misplaced([journal.sent[id_] for id_ in ids if id_ in due]))
    verdict.note("acknowledged and not in its stream", [id_ for id_ in due if id_ not in everywhere])


def misplaced(notifications: Iterable[Notification]) -> list[str]:
    """Return what stands behind a later one of its stream and resource, where the sender kept their order."""
    latest: dict[tuple[str, str], int] = {}
    found = []
    for one in notifications:
        before = latest.get((one.stream, one.resource), 0)
        if one.ordered and one.sequence < before:
            found.append(one.id)
        latest[one.stream, one.resource] = max(one.sequence, before)
    return found


def _totals(journal: Journal, ledger: Ledger, stored: Stored) -> dict[str, int]:
    handled = {f"handled by {name}": len(ids) for name, ids in ledger.handled.items()}
    dead = {f"dead with {name}": count.total() for name, count in stored.dead.items() if count}
    return {
        "requests": journal.requests,
        "notifications": len(journal.sent),
        "sent again on purpose": journal.repeated,
        "acknowledged": len(journal.acknowledged),
        "in the streams": sum(map(len, stored.streams.values())),
        **handled,
        **dead,
    }
