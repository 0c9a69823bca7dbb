"""The name of an object: which events are in it.

    publisher=visma-net-financial/type=customer_changed/day=2026-11-30/1764460800000-0_1764547199000-3.jsonl.gz

The day is in UTC, by the entry ids; the entries are the first and the last of the object. The same entries have the
same name, whichever process writes them and however often. Query engines read the folders as columns.
"""

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from router.store.reading import Span, moment_of, order_of

__all__ = ["Bounds", "ObjectName", "folder_of"]

_ENDLESS: Final = float("inf")
_NAME: Final = re.compile(
    r"publisher=([a-z0-9-]+)/type=([a-z0-9_]+)/day=(\d{4}-\d\d-\d\d)/(\d{1,19}-\d{1,19})_(\d{1,19}-\d{1,19})\.(jsonl\.gz|parquet)"
)


@dataclass(frozen=True, slots=True)
class ObjectName:
    """The stream (`publisher/type`) and the entries of an object, and the suffix that says its form."""

    stream: str
    first: str
    last: str
    suffix: str

    def __str__(self) -> str:
        """Return it as the archive has it."""
        return f"{folder_of(self.stream)}/day={self.day}/{self.first}_{self.last}.{self.suffix}"

    @property
    def day(self) -> str:
        """The day of its events."""
        return moment_of(self.first).date().isoformat()

    @classmethod
    def parse(cls, text: str) -> "ObjectName | None":
        """Read a name; None for one that no archiver writes."""
        if not (found := _NAME.fullmatch(text)):
            return None
        publisher, type_, _, first, last, suffix = found.groups()
        name = cls(f"{publisher}/{type_}", first, last, suffix)
        return name if str(name) == text and order_of(first) <= order_of(last) else None

    def holds(self, entry_id: str) -> bool:
        """Return whether an entry is one of those that it is named for."""
        return order_of(self.first) <= order_of(entry_id) <= order_of(self.last)

    def meets(self, bounds: "Bounds") -> bool:
        """Return whether some of its entries can be within bounds."""
        return bounds.first <= order_of(self.last) and order_of(self.first) <= bounds.last


class Bounds(NamedTuple):
    """The first and the last entry of a span, both included, as entries are ordered."""

    first: tuple[float, float]
    last: tuple[float, float]

    @classmethod
    def of(cls, span: Span) -> "Bounds":
        """Return those of a span as XRANGE spells it: with a parenthesis before an entry that is left out."""
        first = (0, 0) if span.first == "-" else order_of(span.first.removeprefix("("))
        last = (_ENDLESS, _ENDLESS) if span.last == "+" else order_of(span.last)
        return cls(
            (first[0], first[1] + span.first.startswith("(")),
            last if "-" in span.last or span.last == "+" else (last[0], _ENDLESS),
        )

    def hold(self, entry_id: str) -> bool:
        """Return whether an entry is within them."""
        return self.first <= order_of(entry_id) <= self.last


def folder_of(stream: str) -> str:
    """Return the folder that holds the objects of a stream."""
    publisher, _, type_ = stream.partition("/")
    return f"publisher={publisher}/type={type_}"
