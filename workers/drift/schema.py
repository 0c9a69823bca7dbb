"""What is known of the fields of one type, and what a further notification changes in that. Pure, and of bounded size.

A field may be optional, belong to a rare status or to one customer. So nothing is reported for a single notification,
and customers are distinguished: roughly, by a few groups that their companies fall into. A field is new, or has another
type, where it has come in a fair share of what came since, from two groups if there are two; it is missing where a row
of notifications lacks it, from groups whose notifications all had it, and none in between has it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal
from zlib import crc32

from config.settings import DriftSettings
from workers.drift.shape import NULL, Shape

__all__ = ["Change", "FieldKnown", "Schema", "Trait"]

MOST: Final = 200
"""Fields of a type that are kept."""
_GROUPS: Final = 16
_KNOWN_GROUP: Final = 20
"""Notifications of a group after which it is known."""
_FEWEST: Final = 5
_SPAN: Final = 20
"""Notifications after the first one with something new before that is judged."""
_FAIR: Final = 0.2
"""Share of the notifications since then that have it."""
_GIVEN_UP: Final = 2000
"""Notifications after which something that came so rarely is taken for known."""
_EVICTED: Final = 10
"""Fields that may make room for others by one notification: to look for them takes time."""
_ROW: Final = 20
"""Notifications in a row without a field."""

Kind = Literal["new", "changed", "missing", "back"]


@dataclass(frozen=True, slots=True)
class Change:
    """A field that is new, has a new type, is missing or is back; `type` of its values, `was` those before."""

    kind: Kind
    path: str
    type: str = ""
    was: tuple[str, ...] = ()


@dataclass(slots=True)
class Trait:
    """Something that a notification may have.

    seen: how many had it, if only as null. first: how many there were before. at: when it was first seen, epoch
    milliseconds. groups: a bit for each group of companies that had it. known: whether it belongs to the type, or is on
    trial.
    """

    seen: int = 0
    first: int = 0
    at: int = 0
    groups: int = 0
    known: bool = False

    def see(self, group: int) -> None:
        """Count one that has it."""
        self.seen += 1
        self.groups |= group


@dataclass(slots=True)
class FieldKnown(Trait):
    """A field, and the types of its values.

    lacked: groups of which one had no value for it. row: how many in a row lack it now, and in which groups; before
    that row there were `row_first` notifications.
    missing: since when it is missing, epoch milliseconds; 0 where it is not.
    """

    types: dict[str, Trait] = field(default_factory=dict)
    lacked: int = 0
    row: int = 0
    row_groups: int = 0
    row_first: int = 0
    missing: int = 0


@dataclass(slots=True)
class Schema:
    """The fields of one type, of so many notifications; `groups` is how many of those each group sent.

    left_out: how often a field was not kept, since there were too many.
    """

    events: int = 0
    fields: dict[str, FieldKnown] = field(default_factory=dict)
    groups: list[int] = field(default_factory=lambda: [0] * _GROUPS)
    left_out: int = 0

    def learn(self, shape: Shape, company: str, at: int, settings: DriftSettings) -> list[Change]:
        """Take note of one notification, of a company and a time (epoch milliseconds); return what it changes."""
        place = crc32(company.encode(errors="replace")) % _GROUPS
        room = MOST - len(self.fields) + _EVICTED
        changes: list[Change] = []
        for path, type_ in shape.items():
            if path not in self.fields:
                if room <= 0 or not self._add(path, at, settings):
                    self.left_out += 1
                    continue
                room -= 1
            changes += self._see(path, type_, 1 << place, at, settings)
        changes += self._lacking(shape, place, at, settings)
        self.events += 1
        self.groups[place] += 1
        if self.events == settings.learn:
            self._prune()
        return changes

    def is_learnt(self, settings: DriftSettings) -> bool:
        """Return whether enough came to know the type."""
        return self.events >= settings.learn

    def share(self, path: str) -> float:
        """Return how often a field had a value since it was first seen, or until it began to be missing."""
        known = self.fields[path]
        values = sum(each.seen for name, each in known.types.items() if name != NULL)
        until = known.row_first if known.row else self.events
        return values / max(1, until - known.first)

    def forget(self, path: str) -> None:
        """Let a field not belong to the type any more."""
        self.fields.pop(path, None)

    def _add(self, path: str, at: int, settings: DriftSettings) -> bool:
        """Add a field, in place of another where there is no room; return whether that was possible."""
        if len(self.fields) >= MOST:
            rarest = min(self.fields, key=lambda name: (self._stays(name, settings), self.fields[name].seen))
            if self._stays(rarest, settings):
                return False
            del self.fields[rarest]
        lacked = sum(1 << place for place, number in enumerate(self.groups) if number)
        self.fields[path] = FieldKnown(first=self.events, at=at, known=not self.is_learnt(settings), lacked=lacked)
        return True

    def _stays(self, path: str, settings: DriftSettings) -> bool:
        """Return whether a field may not make room for another."""
        known = self.fields[path]
        return known.seen > 1 and (known.known or not self.is_learnt(settings))

    def _see(self, path: str, type_: str, group: int, at: int, settings: DriftSettings) -> Iterator[Change]:
        known = self.fields[path]
        known.see(group)
        if type_ != NULL:
            if known.missing:
                yield Change("back", path, type_)
            known.lacked |= known.row_groups
            known.row = known.row_groups = known.missing = 0
        was = tuple(name for name, each in known.types.items() if each.known and name != NULL)
        on_trial = was and type_ != NULL and self.is_learnt(settings)
        of_type = known.types.setdefault(type_, Trait(first=known.seen - 1, at=at, known=not on_trial))
        of_type.see(group)
        if self._is_on(known, self.events):
            known.lacked = 0  # of when it was not there yet
            if not self._is_part_of_new(path, settings):
                yield Change("new", path, type_)
        elif known.known and self._is_on(of_type, known.seen - 1):
            yield Change("changed", path, type_, was)

    def _is_part_of_new(self, path: str, settings: DriftSettings) -> bool:
        """Return whether a field is within one that is new itself: that one is reported."""
        first = self.fields[path].first
        outer = (self.fields[name] for name in _outer(path) if name in self.fields)
        return any(settings.learn <= each.first and first - each.first < _GIVEN_UP for each in outer)

    def _is_on(self, trait: Trait, until: int) -> bool:
        """Judge what is on trial, `until` so many came; return whether it belongs to the type from now on."""
        if trait.known:
            return False
        came = until - trait.first + 1
        if came > _GIVEN_UP:
            trait.known = True
            return False
        fair = came >= _SPAN and trait.seen >= max(_FEWEST, _FAIR * came)
        trait.known = fair and trait.groups.bit_count() >= min(2, self._known_groups().bit_count())
        return trait.known

    def _known_groups(self) -> int:
        return sum(1 << place for place, number in enumerate(self.groups) if number >= _KNOWN_GROUP)

    def _lacking(self, shape: Shape, place: int, at: int, settings: DriftSettings) -> Iterator[Change]:
        """Take note of the fields that a notification lacks."""
        group, is_known = 1 << place, self.groups[place] >= _KNOWN_GROUP and self.is_learnt(settings)
        expected = min(2, self._known_groups().bit_count())
        for path, known in self.fields.items():
            if shape.get(path, NULL) != NULL:
                continue
            if not (is_known and known.known and known.groups & group and not known.lacked & group):
                known.lacked |= group
                continue
            known.row_first = known.row_first if known.row else self.events
            known.row += 1
            known.row_groups |= group
            is_usual = self.share(path) >= settings.usual
            if not known.missing and is_usual and known.row >= _ROW and known.row_groups.bit_count() >= expected:
                known.missing = at
                if any(name in self.fields and self.fields[name].missing for name in _outer(path)):
                    continue  # it went with what it was in
                yield Change("missing", path, was=tuple(name for name in known.types if name != NULL))

    def _prune(self) -> None:
        """Let fields go that came only once: names that are made up each time must not take all the room."""
        if self.events > 1:
            self.fields = {path: known for path, known in self.fields.items() if known.seen > 1}


def _outer(path: str) -> Iterator[str]:
    """Yield the fields that a field is within, the outermost first."""
    return (path[:place].removesuffix("[]") for place, letter in enumerate(path) if letter == ".")
