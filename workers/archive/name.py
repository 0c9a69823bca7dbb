"""The name of an object: which events are in it.

    publisher=visma-net-financial/type=customer_changed/day=2026-11-30/1764460800000-0_1764547199000-3.jsonl.gz

The day is in UTC, by the entry ids; the entries are the first and the last of the object. The same entries have the
same name, whichever process writes them and however often. Query engines read the folders as columns.
"""

import re
from dataclasses import dataclass
from typing import Final

from router.store.reading import Span, moment_of, order_of

__all__ = ["ObjectName"]

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

    def meets(self, span: Span) -> bool:
        """Return whether some of its entries can be in a span, as XRANGE spells one."""
        begins = span.first == "-" or _bound(span.first, latest=False) <= order_of(self.last)
        return begins and (span.last == "+" or order_of(self.first) <= _bound(span.last, latest=True))


def folder_of(stream: str) -> str:
    """Return the folder that holds the objects of a stream."""
    publisher, _, type_ = stream.partition("/")
    return f"publisher={publisher}/type={type_}"


def _bound(text: str, *, latest: bool) -> tuple[float, float]:
    """Return an end of a span; one without a number means all entries of its millisecond."""
    millis, number = order_of(text.removeprefix("("))
    return millis, float("inf") if latest and "-" not in text else number
