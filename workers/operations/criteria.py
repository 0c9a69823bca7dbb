"""The parts that selectors are made of: ids, whole or as a narrow table shows them, and times."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from config.times import parse_duration
from router.store.reading import Span, is_entry_id, order_of
from workers.operations.shortened import is_short_for, is_shortened


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids that are wanted, in lower case: whole, and shortened by an ellipsis; none at all wants everything."""

    whole: frozenset[str] = frozenset()
    shortened: frozenset[str] = frozenset()

    @classmethod
    def of(cls, ids: Iterable[str]) -> "Ids":
        """Return these, in whatever case they are written."""
        lower = frozenset(id_.lower() for id_ in ids)
        shortened = frozenset(id_ for id_ in lower if is_shortened(id_))
        return cls(lower - shortened, shortened)

    def __bool__(self) -> bool:
        return bool(self.whole or self.shortened)

    def __iter__(self) -> Iterator[str]:
        return iter(self.whole | self.shortened)

    def want(self, *ids: str) -> bool:
        """Return whether something that goes by these ids is wanted."""
        if not self:
            return True
        return any(id_ in self.whole for id_ in ids) or any(is_short_for(s, id_) for s in self.shortened for id_ in ids)

    def span(self) -> Span | None:
        """Return the entries to read where only ids of entries are given; None where others may be selected."""
        if not self.whole or self.shortened or not all(map(is_entry_id, self.whole)):
            return None
        ordered = sorted(self.whole, key=order_of)
        return Span(ordered[0], ordered[-1])


@dataclass(frozen=True, slots=True)
class Criteria:
    """What something must be like to be selected, in every respect that is given: the base of all selectors."""

    @property
    def is_empty(self) -> bool:
        """Whether it selects everything because nothing is given, or but an empty text."""
        return not self.describe()

    def describe(self) -> dict[str, Any]:
        """Return what is given, for the audit."""
        given = {name: value for name in self.__dataclass_fields__ if (value := getattr(self, name))}
        return {name: sorted(v) if isinstance(v, Ids | frozenset) else str(v) for name, v in given.items()}


def within(moment: datetime, since: datetime | None, until: datetime | None) -> bool:
    """Return whether a time is between two others, both included; None is no bound."""
    return (since is None or since <= moment) and (until is None or moment <= until)


def parse_moment(text: str, now: datetime) -> datetime:
    """Return the time for `15m`, `2h`, `3d` (so long before `now`) or an ISO date or time, UTC unless it says.

    Raises ValueError saying what is allowed.
    """
    text = text.strip()
    try:
        if (ago := parse_duration(text)) is not None:
            return now - ago
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no time: write 15m, 2h, 3d, or 2025-10-30T15:05:57Z") from None
