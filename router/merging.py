"""Many streams as one, oldest entry first, each read in pages."""

import heapq
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from router.pages import PAGE, Entry, Span, checked, order_of
from router.store import Store

__all__ = ["oldest_first"]

_LEAST = 10


async def oldest_first(store: Store, spans: Mapping[str, Span]) -> AsyncIterator[tuple[str, Entry]]:
    """Yield the entries of these spans of streams (by key) with their keys, oldest first; of one id in that order.

    Begins with one round trip for a little of each; a stream that is used up is asked for more each time. Raises
    StoreUnavailable.
    """
    page = max(_LEAST, PAGE // max(1, len(spans)))
    heads = [_Head(key, span.first, span.last, page) for key, span in spans.items()]
    for head, reply in zip(heads, checked(await store.commands([head.read() for head in heads])), strict=True):
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
    """What was read of one stream and not used yet."""

    key: str
    first: str
    last: str
    page: int
    entries: deque[Entry] = field(default_factory=deque)
    more: bool = True

    def read(self) -> tuple[str | int, ...]:
        return ("XRANGE", self.key, self.first, self.last, "COUNT", self.page)

    def take(self, entries: list[Entry]) -> None:
        self.entries.extend(entries)
        self.more = len(entries) == self.page
        self.page = min(PAGE, self.page * 2)
        if entries:
            self.first = f"({entries[-1][0].decode()}"

    def rank(self) -> tuple[int, int]:
        return order_of(self.entries[0][0])
