"""Many streams as one, newest or oldest entry first, each read in pages.

Begins with one round trip for the ids alone of where each stream begins: an entry is read only when it is its turn, so
that no more is held than for one stream, however many there are and whatever their entries weigh.
"""

import heapq
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from router.store import scripts
from router.store.client import Store
from router.store.errors import forgiven
from router.store.reading import BUDGET, Entry, Pager, Span, checked, order_of


def newest_first(store: Store, keys: Sequence[str], span: Span) -> AsyncIterator[tuple[str, Entry]]:
    """Yield the entries of many streams with their keys, newest first; raises StoreUnavailable."""
    return _merged(store, dict.fromkeys(keys, span), newest=True)


def oldest_first(store: Store, spans: Mapping[str, Span]) -> AsyncIterator[tuple[str, Entry]]:
    """Yield the entries of these spans of streams (by key) with their keys, oldest first; of one id in that order.

    Raises StoreUnavailable.
    """
    return _merged(store, spans, newest=False)


async def _merged(store: Store, spans: Mapping[str, Span], *, newest: bool) -> AsyncIterator[tuple[str, Entry]]:
    heads = [_Head(key, span.first, span.last, newest) for key, span in spans.items()]
    await _peek(store, heads)
    heads = [head for head in heads if head.next]
    for head in heads:
        head.pager = Pager(BUDGET // len(heads))
    heap = [(head.rank(), index) for index, head in enumerate(heads)]
    heapq.heapify(heap)
    while heap:
        rank, index = heap[0]
        head = heads[index]
        if not head.entries:
            await _load(store, head)
        if head.next and head.rank() == rank:  # as it was when looked at: it may have been removed since
            yield head.key, head.take()
            if not head.next and head.more:
                await (_load(store, head) if len(heap) == 1 else _peek(store, [head]))
        if head.next:
            heapq.heapreplace(heap, (head.rank(), index))
        else:
            heapq.heappop(heap)


async def _peek(store: Store, heads: Sequence["_Head"]) -> None:
    """Find out where these go on, without reading what is there."""
    keys = [head.key for head in heads]
    replies = await store.run([scripts.beginning(head.key, *head.span(), newest=head.newest) for head in heads])
    for head, next_ in zip(heads, checked(forgiven(replies, keys, b"")), strict=True):
        head.next = next_


async def _load(store: Store, head: "_Head") -> None:
    """Read a page."""
    count = head.pager.count
    command = ("XREVRANGE" if head.newest else "XRANGE", head.key, *head.span(), "COUNT", count)
    head.put(checked(forgiven(await store.commands([command]), [head.key], []))[0], count)


@dataclass(slots=True)
class _Head:
    """What was read of one stream and not used yet, the span that is left to read, and the id that comes next."""

    key: str
    first: str
    last: str
    newest: bool
    pager: Pager = field(default_factory=Pager)
    entries: deque[Entry] = field(default_factory=deque)
    next: bytes = b""
    more: bool = True

    def span(self) -> tuple[str, str]:
        """Return what is left, in the order of the command that reads it."""
        return (self.last, self.first) if self.newest else (self.first, self.last)

    def put(self, entries: list[Entry], count: int) -> None:
        """Take what was read when `count` were asked for."""
        self.entries.extend(entries)
        self.more = len(entries) == count
        self.pager.took(entries)
        self.next = entries[0][0] if entries else b""
        if entries:
            beyond = f"({entries[-1][0].decode()}"
            self.first, self.last = (self.first, beyond) if self.newest else (beyond, self.last)

    def take(self) -> Entry:
        """Return the next entry."""
        entry = self.entries.popleft()
        self.next = self.entries[0][0] if self.entries else b""
        return entry

    def rank(self) -> tuple[int, int]:
        millis, number = order_of(self.next)
        return (-millis, -number) if self.newest else (millis, number)
