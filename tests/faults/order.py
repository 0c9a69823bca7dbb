"""What keyed subscriptions promise, judged by the turns that were taken: one at a time, in order, merged and fair.

The order is that of the entries in the streams. Those of two streams that have the same millisecond have none.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from faults.ledger import Handling
from faults.turns import DEAD, DONE, Turn

__all__ = ["Account", "Fenced", "Inversion", "Overlap", "Place", "Rules", "account", "crowds", "inversions", "overlaps"]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a keyed subscription promises besides order."""

    merges: bool = False
    per_company: int = 0
    """How many handlers may run at once for one company; 0 for any number."""


class Place(NamedTuple):
    """Where an event stands in its stream, as the store gave it."""

    stream: str
    millis: int
    number: int

    def is_before(self, other: "Place") -> bool:
        """Return whether the store took this one first; those of one millisecond in two streams have no order."""
        return self < other if self.stream == other.stream else self.millis < other.millis


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two turns of one key, the second of which began before the first had ended."""

    first: Turn
    second: Turn


@dataclass(frozen=True, slots=True)
class Inversion:
    """A turn that stood for an event after one of a later event of its key had begun."""

    id: str
    turn: Turn
    later: str


Fenced = Callable[[Turn, float], bool]
"""Tells whether the worker of a turn can have lost its hold by a time, for what was done to it alone."""


def overlaps(turns: Sequence[Turn], fenced: Fenced) -> tuple[list[Overlap], int]:
    """Return the turns of one key at once, and how many more there were of workers that had lost their hold."""
    found, excused = [], 0
    for same in _by_key(turns).values():
        for first, second in _at_once(same):
            if fenced(first, second.start) or fenced(second, second.start):
                excused += 1
            else:
                found.append(Overlap(first, second))
    return found, excused


def inversions(
    turns: Sequence[Turn],
    places: Mapping[str, Place],
    dead: Collection[str],
    redelivered: Callable[[str, Handling, Handling], object],
) -> list[Inversion]:
    """Return the turns that came too late; only what had come to its end before may come once more, with a cause.

    `redelivered(id, first, again)` tells the cause of a further delivery, or something false.
    """
    found = []
    for same in _by_key(turns).values():
        order, ended = _Order(places), dict[str, Handling]()
        for turn in same:
            again = Handling(turn.start, turn.pid, turn.attempt)
            found += [
                Inversion(id_, turn, later)
                for id_, later in order.begun(turn)
                if not (id_ in ended and redelivered(id_, ended[id_], again))
            ]
            if turn.outcome == DONE or turn.id in dead:
                ended |= {id_: Handling(turn.end, turn.pid, turn.attempt) for id_ in turn.ids}
    return found


def crowds(turns: Sequence[Turn], most: int, fenced: Fenced) -> list[Turn]:
    """Return the turns that began while as many of their company ran already, on workers that had not lost them."""
    found = []
    companies = defaultdict[str, list[Turn]](list)
    for turn in turns:
        running = [one for one in companies[turn.company] if one.end > turn.start]
        companies[turn.company] = [*running, turn]
        if sum(not fenced(one, turn.start) for one in running) >= most and not fenced(turn, turn.start):
            found.append(turn)
    return found


@dataclass(slots=True)
class Account:
    """What became of the accepted events of a subscription: each is in one of the first three, or in `twice`."""

    done: set[str] = field(default_factory=set)
    merged: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)
    buried_and_handled: list[tuple[str, Handling, Handling]] = field(default_factory=list)
    """Events that were handled, and are dead letters or were merged into some; both handlings."""

    @property
    def total(self) -> int:
        """How many events came to an end."""
        return len(self.done) + len(self.merged) + len(self.dead)


def account(turns: Iterable[Turn], dead: Collection[str]) -> Account:
    """Add up the turns: each event counts once, as what it was first."""
    found, done, buried = Account(dead=set(dead)), dict[str, Turn](), dict[str, Turn]()
    for turn in turns:
        if turn.outcome == DONE:
            done |= dict.fromkeys(turn.ids, turn)
            found.done.add(turn.id)
            found.merged.update(turn.ids[:-1])
        elif turn.id in found.dead and turn.outcome == DEAD:
            buried |= dict.fromkeys(turn.ids, turn)
            found.merged.update(turn.ids[:-1])
    found.buried_and_handled = [
        (id_, *sorted((_ended(done[id_]), _ended(buried[id_])))) for id_ in done.keys() & buried.keys()
    ]
    found.done -= found.dead
    found.merged -= found.done | found.dead
    return found


def _ended(turn: Turn) -> Handling:
    return Handling(turn.end, turn.pid, turn.attempt)


def _by_key(turns: Iterable[Turn]) -> dict[str, list[Turn]]:
    found = defaultdict[str, list[Turn]](list)
    for turn in turns:
        found[turn.key].append(turn)
    return found


def _at_once(turns: Iterable[Turn]) -> Iterator[tuple[Turn, Turn]]:
    running: list[Turn] = []
    for turn in turns:
        running = [one for one in running if one.end > turn.start]
        yield from ((one, turn) for one in running)
        running.append(turn)


class _Order:
    """The turns of one key that have begun, and how far they have come."""

    def __init__(self, places: Mapping[str, Place]) -> None:
        self._places = places
        self._turns: list[Turn] = []
        self._last: dict[str, int] = {}
        self._in_stream: dict[str, str] = {}
        self._anywhere = ""

    def begun(self, turn: Turn) -> list[tuple[str, str]]:
        """Take a turn; return its events that a turn without them had overtaken, each with an event that did it."""
        known = [id_ for id_ in turn.ids if id_ in self._places]
        late = [(id_, later) for id_ in known if (later := self._overtaken(id_))]
        self._last |= dict.fromkeys(known, len(self._turns))
        self._turns.append(turn)
        for id_ in known:
            self._note(id_)
        return late

    def _overtaken(self, id_: str) -> str:
        if id_ in self._last:  # again: what came along with it the last time has not overtaken it
            since = self._turns[self._last[id_] + 1 :]
            others = (other for turn in since for other in turn.ids if id_ not in turn.ids and other in self._places)
        else:
            others = filter(None, (self._in_stream.get(self._places[id_].stream, ""), self._anywhere))
        return next((other for other in others if self._places[id_].is_before(self._places[other])), "")

    def _note(self, id_: str) -> None:
        place = self._places[id_]
        before = self._in_stream.get(place.stream)
        if before is None or self._places[before] < place:
            self._in_stream[place.stream] = id_
        if not self._anywhere or self._places[self._anywhere].millis < place.millis:
            self._anywhere = id_
