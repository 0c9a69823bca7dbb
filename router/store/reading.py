"""Reading a stream in pages, so that the memory it takes does not grow with the stream."""

import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from config.errors import described
from router.store.client import Store
from router.store.errors import StoreRefused, StoreUnavailable, forgiven

PAGE = 128
"""Most entries of one stream to take in one read."""

BUDGET = 8 * 1024 * 1024
"""Bytes that what is read ahead may take, whatever the size of an entry."""

_GROWTH = 4  # times as many as before at most: the first small ones may be followed by large ones

_LAST_MS = 253_402_300_799_000  # the last second a datetime can hold; an id that somebody chose may be beyond it

_ENTRY_ID = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")

Entry = tuple[bytes, dict[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Span:
    """The first and the last entry to read, both included, as XRANGE spells them."""

    first: str = "-"
    last: str = "+"

    @classmethod
    def between(cls, since: datetime | None, until: datetime | None) -> "Span":
        """Return the entries that were written from `since` to `until`, aware times to the millisecond."""
        return cls(_millis(since) if since else "-", _millis(until) if until else "+")


def _millis(moment: datetime) -> str:
    return str(max(0, int(moment.timestamp() * 1000)))


def is_entry_id(text: bytes | str) -> bool:
    """Return whether a text has the form of an entry's id."""
    return _ENTRY_ID.fullmatch(text if isinstance(text, str) else text.decode(errors="replace")) is not None


def order_of(entry_id: bytes | str) -> tuple[int, int]:
    """Return what entries sort by: the milliseconds and the number within them."""
    text = entry_id.decode() if isinstance(entry_id, bytes) else entry_id
    millis, _, number = text.partition("-")
    return int(millis), int(number or 0)


def moment_of(entry_id: bytes | str) -> datetime:
    """Return when an entry was written."""
    return moment_at(order_of(entry_id)[0])


def moment_at(millis: float) -> datetime:
    """Return a time in epoch milliseconds, the last one possible where somebody wrote one beyond it."""
    return datetime.fromtimestamp(min(max(0, millis), _LAST_MS) / 1000, UTC)


def named_values(reply: Any) -> dict[Any, Any]:
    """Return a reply of names and values, such as that of HGETALL, in whichever form the server's protocol gives it."""
    return dict(reply if isinstance(reply, Mapping) else zip(reply[::2], reply[1::2], strict=True))


def checked(replies: Sequence[Any]) -> list[Any]:
    """Return the replies of a round trip; raises StoreUnavailable with the first error among them."""
    for reply in replies:
        if isinstance(reply, StoreUnavailable):
            raise reply
        if isinstance(reply, BaseException):
            raise StoreUnavailable(described(reply)) from reply
    return list(replies)


async def last_ids(store: Store, keys: Sequence[str]) -> dict[str, str]:
    """Return the id of the last entry of each of these streams; `0-0` of an empty one. Raises StoreUnavailable."""
    replies = forgiven(await store.commands([("XREVRANGE", key, "+", "-", "COUNT", 1) for key in keys]), keys, [])
    return {key: found[0][0].decode() if found else "0-0" for key, found in zip(keys, checked(replies), strict=True)}


def refusal_of(replies: Iterable[Any]) -> str:
    """Return why the server refused the last of those replies that are a refusal; empty where none is."""
    return next((described(reply) for reply in reversed([*replies]) if isinstance(reply, StoreRefused)), "")


class Pager:
    """How many entries to read next, `count`: `first`, then as many as fit into `share` bytes by the last ones."""

    __slots__ = ("_most", "_share", "count")

    def __init__(self, share: int = BUDGET, most: int = PAGE, first: int = 1) -> None:
        self._share, self._most = share, most
        self.count = first

    def took(self, entries: Sequence[tuple[bytes, Mapping[bytes, bytes]]], streams: int = 1) -> None:
        """Learn from what was read, of so many streams at once."""
        if entries:
            average = sum(map(_size, entries)) // len(entries)
            fitting = self._share // (average * streams)
            self.count = max(1, min(self._most, self.count * _GROWTH, fitting))


def _size(entry: tuple[bytes, Mapping[bytes, bytes]]) -> int:
    """Return about how many bytes an entry takes in memory."""
    return 200 + sum(len(name) + len(value) + 100 for name, value in entry[1].items())


async def forward(store: Store, key: str, span: Span, most: int = PAGE) -> AsyncIterator[Entry]:
    """Yield the entries of one stream, oldest first, read `most` at once or fewer."""
    first, pager = span.first, Pager(most=most)
    while True:
        count = pager.count
        replies = await store.commands([("XRANGE", key, first, span.last, "COUNT", count)])
        entries: list[Entry] = checked(forgiven(replies, [key], []))[0]
        pager.took(entries)
        begin, last = len(entries) == count, entries[-1][0] if entries else b""
        entries.reverse()
        while entries:
            yield entries.pop()  # and keep none that was used
        if not begin:
            return
        first = f"({last.decode()}"
