"""Many streams as one, newest or oldest entry first, each read in pages.

Begins with one round trip for a little of each; a stream that is used up is asked for more each time, since it seems to
be the busy one.
"""

import heapq
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from router.pages import PAGE, Entry, Span, checked, order_of
from router.spoilt import forgiven
from router.store import Store

__all__ = ["newest_first", "oldest_first"]

_LEAST = 10


def newest_first(store: Store, keys: Sequence[str], span: Span) -> AsyncIterator[tuple[str, Entry]]:
    """Yield the entries of many streams with their keys, newest first; raises StoreUnavailable."""
    return _merged(store, dict.fromkeys(keys, span), newest=True)


def oldest_first(store: Store, spans: Mapping[str, Span]) -> AsyncIterator[tuple[str, Entry]]:
    """Yield the entries of these spans of streams (by key) with their keys, oldest first; of one id in that order.

    Raises StoreUnavailable.
    """
    return _merged(store, spans, newest=False)


async def _merged(store: Store, spans: Mapping[str, Span], *, newest: bool) -> AsyncIterator[tuple[str, Entry]]:
    page = max(_LEAST, PAGE // max(1, len(spans)))
    heads = [_Head(key, span.first, span.last, page, newest) for key, span in spans.items()]
    replies = forgiven(await store.commands([head.read() for head in heads]), list(spans), [])
    for head, reply in zip(heads, checked(replies), strict=True):
        head.take(reply)
    heap = [(head.rank(), index) for index, head in enumerate(heads) if head.entries]
    heapq.heapify(heap)
    while heap:
        _, index = heap[0]
        head = heads[index]
        yield head.key, head.entries.popleft()
        if not head.entries and head.more:
            head.take(checked(await store.commands([head.read()]))[0])
        if head.entries:
            heapq.heapreplace(heap, (head.rank(), index))
        else:
            heapq.heappop(heap)


@dataclass(slots=True)
class _Head:
    """What was read of one stream and not used yet, and the span that is left to read."""

    key: str
    first: str
    last: str
    page: int
    newest: bool
    entries: deque[Entry] = field(default_factory=deque)
    more: bool = True

    def read(self) -> tuple[str | int, ...]:
        if self.newest:
            return ("XREVRANGE", self.key, self.last, self.first, "COUNT", self.page)
        return ("XRANGE", self.key, self.first, self.last, "COUNT", self.page)

    def take(self, entries: list[Entry]) -> None:
        self.entries.extend(entries)
        self.more = len(entries) == self.page
        self.page = min(PAGE, self.page * 2)
        if entries:
            beyond = f"({entries[-1][0].decode()}"
            self.first, self.last = (self.first, beyond) if self.newest else (beyond, self.last)

    def rank(self) -> tuple[int, int]:
        millis, number = order_of(self.entries[0][0])
        return (-millis, -number) if self.newest else (millis, number)
