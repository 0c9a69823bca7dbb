"""Reading streams in pages, so that the memory it takes does not grow with the streams."""

import heapq
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from config.errors import told
from router.store import Store, StoreUnavailable

__all__ = ["PAGE", "Entry", "Span", "checked", "forward", "moment_of", "newest_first", "order_of"]

PAGE = 500
"""Most entries of one stream to take in one read."""

_LEAST = 10
_LAST_MS = 253_402_300_799_000  # the last second a datetime can hold; an id made by hand may be beyond it

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


def order_of(entry_id: bytes | str) -> tuple[int, int]:
    """Return what entries sort by: the milliseconds and the number within them."""
    text = entry_id.decode() if isinstance(entry_id, bytes) else entry_id
    millis, _, number = text.partition("-")
    return int(millis), int(number or 0)


def moment_of(entry_id: bytes | str) -> datetime:
    """Return when an entry was written."""
    return datetime.fromtimestamp(min(order_of(entry_id)[0], _LAST_MS) / 1000, UTC)


def checked(replies: Sequence[Any]) -> list[Any]:
    """Return the replies of a round trip; raises StoreUnavailable with the first error among them."""
    for reply in replies:
        if isinstance(reply, BaseException):
            raise StoreUnavailable(told(reply)) from reply
    return list(replies)


async def forward(store: Store, key: str, span: Span, page: int = PAGE) -> AsyncIterator[Entry]:
    """Yield the entries of one stream, oldest first."""
    first = span.first
    while True:
        entries: list[Entry] = checked(await store.commands([("XRANGE", key, first, span.last, "COUNT", page)]))[0]
        for entry in entries:
            yield entry
        if len(entries) < page:
            return
        first = f"({entries[-1][0].decode()}"


async def newest_first(store: Store, keys: Sequence[str], span: Span) -> AsyncIterator[tuple[str, Entry]]:
    """Yield the entries of many streams with their keys, newest first.

    Begins with one round trip that takes a little of each; a stream that is used up is asked for more each time, since
    it seems to be the busy one.
    """
    page = max(_LEAST, PAGE // max(1, len(keys)))
    tails = [_Tail(key, span.last, page) for key in keys]
    for tail, reply in zip(tails, checked(await store.commands([tail.read(span) for tail in tails])), strict=True):
        tail.take(reply)
    heap = [(tail.rank(), index) for index, tail in enumerate(tails) if tail.entries]
    heapq.heapify(heap)
    while heap:
        _, index = heap[0]
        tail = tails[index]
        yield tail.key, tail.entries.popleft()
        if not tail.entries and tail.more:
            tail.take(checked(await store.commands([tail.read(span)]))[0])
        if tail.entries:
            heapq.heapreplace(heap, (tail.rank(), index))
        else:
            heapq.heappop(heap)


@dataclass(slots=True)
class _Tail:
    """What was read of one stream and not used yet, newest first."""

    key: str
    last: str
    page: int
    entries: deque[Entry] = field(default_factory=deque)
    more: bool = True

    def read(self, span: Span) -> tuple[str | int, ...]:
        return ("XREVRANGE", self.key, self.last, span.first, "COUNT", self.page)

    def take(self, entries: list[Entry]) -> None:
        self.entries.extend(entries)
        self.more = len(entries) == self.page
        self.page = min(PAGE, self.page * 2)
        if entries:
            self.last = f"({entries[-1][0].decode()}"

    def rank(self) -> tuple[int, int]:
        millis, number = order_of(self.entries[0][0])
        return -millis, -number
