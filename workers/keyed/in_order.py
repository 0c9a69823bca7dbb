"""Entries of several streams in the order in which the store took them."""

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from workers.keyed.entry import place_of


class Entry(NamedTuple):
    """An entry of a source, which `place` orders among those of all streams."""

    source: str
    entry_id: bytes
    fields: Mapping[bytes, bytes]
    place: str


Read = Sequence[tuple[bytes, Mapping[bytes, bytes]]]
"""What a read brought of one source: ids and fields, oldest first."""


class InOrder:
    """Puts what reads bring into order; a source that a read may not have emptied holds back what comes after its last.

    What is held back stays here, and its source is not to be read meanwhile: see `waiting`.
    """

    def __init__(self) -> None:
        self._held: dict[str, deque[Entry]] = {}

    @property
    def waiting(self) -> frozenset[str]:
        """The sources of which entries are held back."""
        return frozenset(self._held)

    def put(self, read: Mapping[str, Read], asked: Collection[str], count: int) -> list[Entry]:
        """Take what a read of these sources brought, at most `count` of each; return what may go on, in order."""
        horizon = min(self._ends(read, asked, count), default=None)
        for source, entries in read.items():
            found = self._held.setdefault(source, deque())
            found.extend(Entry(source, entry_id, fields or {}, place_of(entry_id)) for entry_id, fields in entries)
        ready = sorted(self._up_to(horizon), key=lambda entry: entry.place)
        self._held = {source: entries for source, entries in self._held.items() if entries}
        return ready

    def _ends(self, read: Mapping[str, Read], asked: Collection[str], count: int) -> Iterator[str]:
        """Yield the last place that is known of each source that may have more by now: the read did not empty it."""
        for entries in read.values():
            if len(entries) >= count:
                yield place_of(entries[-1][0])
        for source, held in self._held.items():
            if source not in asked:
                yield held[-1].place

    def _up_to(self, horizon: str | None) -> Iterator[Entry]:
        for entries in self._held.values():
            while entries and (horizon is None or entries[0].place <= horizon):
                yield entries.popleft()
