"""Reading the archive: all its events over all streams, in the order in which they were accepted.

Objects are opened when their first entry is due, and closed at their end: at any moment about one for each stream is
open. An entry that stands in two objects counts once.
"""

import heapq
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import NamedTuple

from router.store.reading import order_of
from router.store.record import ID
from workers.archive.archive import Archive
from workers.archive.checked import Checked, open_checked
from workers.archive.errors import Damaged
from workers.archive.line import Archived
from workers.archive.name import Bounds, ObjectName, folder_of

__all__ = ["Reading", "Skipped"]


class Skipped(NamedTuple):
    """What was found in the archive and is not read, and why."""

    name: str
    why: str


class _Cursor:
    """An object that is being read; `now` is its next entry within the bounds."""

    def __init__(self, source: Checked, bounds: Bounds) -> None:
        self._source = source
        self._bounds = bounds
        self._page: list[Archived] = []
        self.now: Archived | None = None

    async def advance(self) -> bool:
        """Go on to the next entry; return whether there is one."""
        while True:
            if not self._page:
                self._page = [*reversed(await self._source.page())]
                if not self._page:
                    return False
            self.now = self._page.pop()
            if self._bounds.hold(self.now.entry_id):
                return True

    def close(self) -> None:
        self._source.close()


class Reading:
    """Reads spans of streams. `skipped` says what could not be read, and `skip` is called with each of that once."""

    def __init__(self, archive: Archive, skip: Callable[[Skipped], None] = lambda _: None) -> None:
        self._archive = archive
        self._skip = skip
        self.skipped: dict[str, Skipped] = {}

    async def objects(self, spans: Mapping[str, Bounds]) -> list[ObjectName]:
        """Return the objects that have entries of these spans of streams, in the order of their first entries.

        Raises ArchiveUnreachable.
        """
        found = list[ObjectName]()
        for stream, bounds in spans.items():
            async for stored in self._archive.place.list(folder_of(stream)):
                name = ObjectName.parse(stored.name)
                if name is None:
                    self._left_out(stored.name, "it is no object of the archive")
                elif name.meets(bounds):
                    found.append(name)
        return sorted(found, key=lambda name: order_of(name.first))

    async def entries(self, spans: Mapping[str, Bounds]) -> AsyncGenerator[Archived, None]:
        """Yield the entries of these spans, oldest first, and those of one time in the order of the streams.

        What is damaged is left out as a whole. Raises ArchiveUnreachable.
        """
        places = {stream: place for place, stream in enumerate(spans)}
        waiting = [*reversed(await self.objects(spans))]
        heap, cursors = list[tuple[tuple[int, int], int, int, _Cursor]](), set[_Cursor]()
        seen, at, number = set[tuple[str, bytes]](), (-1, 0), 0
        try:
            while waiting or heap:
                while waiting and (not heap or order_of(waiting[-1].first) <= heap[0][0]):
                    name = waiting.pop()
                    if (cursor := await self._open(name, spans[name.stream])) and cursor.now:
                        cursors.add(cursor)
                        number += 1
                        row = (order_of(cursor.now.entry_id), places[name.stream], number, cursor)
                        heapq.heappush(heap, row)
                if not heap:
                    continue
                order, place, which, cursor = heapq.heappop(heap)
                entry = cursor.now
                assert entry is not None
                if order != at:
                    seen, at = set(), order
                if (same := (entry.stream, entry.fields.get(ID, b""))) not in seen:
                    seen.add(same)
                    yield entry
                if await cursor.advance():
                    assert cursor.now is not None
                    heapq.heappush(heap, (order_of(cursor.now.entry_id), place, which, cursor))
                else:
                    cursors.discard(cursor)
                    cursor.close()
        finally:
            for cursor in cursors:
                cursor.close()

    async def _open(self, name: ObjectName, bounds: Bounds) -> _Cursor | None:
        """Open an object at its first entry within bounds; None where there is none, or the object is damaged."""
        try:
            cursor = _Cursor(await open_checked(self._archive, name), bounds)
        except Damaged as error:
            self._left_out(str(name), str(error))
            return None
        try:
            if await cursor.advance():
                return cursor
        except BaseException:
            cursor.close()
            raise
        cursor.close()
        return None

    def _left_out(self, name: str, why: str) -> None:
        if name not in self.skipped:
            self.skipped[name] = Skipped(name, why)
            self._skip(self.skipped[name])
