"""Looking into what was received: the events in their streams."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from router.events.catalogue import Catalogue
from router.events.event import Event
from router.events.fields import UnreadableEvent
from router.events.globs import is_resource
from router.store.client import Store
from router.store.errors import forgiven
from router.store.merging import newest_first, oldest_first
from router.store.reading import Span, checked, is_entry_id, last_ids, order_of
from router.store.record import ID, Fields, read_event, text_of
from router.tasks.iterating import first
from workers.operations.criteria import Criteria
from workers.operations.shortened import is_short_for, is_shortened

SEARCHED = 20_000
"""How many of the newest events are searched for an id whose deduplication marker is gone."""

_COUNTED_AT = 48  # where append.lua counts duplicates in a marker


class Marker(NamedTuple):
    """What a deduplication marker holds: the entry of the event, and how often that was refused as a duplicate."""

    entry_id: str
    duplicates: int


def read_marker(value: bytes | None) -> Marker | None:
    """Read a marker, one without a count too; None for none, and for what somebody else wrote there."""
    entry_id, count = (value or b"")[:_COUNTED_AT].rstrip(b"\0"), (value or b"")[_COUNTED_AT:]
    return Marker(entry_id.decode(), int.from_bytes(count[:4])) if is_entry_id(entry_id) else None


@dataclass(frozen=True, slots=True)
class EventFilter(Criteria):
    """Which events to show: a glob over the resource, the exact company, and when they were stored."""

    resource: str | None = None
    company: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def span(self) -> Span:
        """Return the entries that were stored when it wants them to be."""
        return Span.between(self.since, self.until)

    def matches(self, event: Event | None) -> bool:
        """Return whether an event, or an entry that is none, is to be shown."""
        if self.resource is None and self.company is None:
            return True
        if event is None or self.company not in (None, event.company_id):
            return False
        return self.resource is None or is_resource(event.resource, self.resource)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An entry of a stream; `event` is None where it cannot be read: somebody else wrote it."""

    entry_id: str
    stream: str
    event: Event | None


class Browser:
    """Reads what one store holds; every method raises StoreUnavailable when it is away.

    `renormalise`: the events are made again from the bytes as sent.
    """

    def __init__(self, store: Store, catalogue: Catalogue, *, renormalise: bool = False) -> None:
        self._store = store
        self._catalogue = catalogue
        self._renormalise = renormalise

    async def newest(self, streams: Sequence[str], wanted: EventFilter) -> AsyncIterator[StoredEvent]:
        """Yield the events of these streams, newest first."""
        names = {self._store.keys.events(stream): stream for stream in streams}
        async for key, (entry_id, fields) in newest_first(self._store, list(names), wanted.span()):
            found = self.read(names[key], entry_id, fields)
            if wanted.matches(found.event):
                yield found

    async def oldest(self, spans: Mapping[str, Span], wanted: EventFilter) -> AsyncIterator[StoredEvent]:
        """Yield the events of these spans of streams (by name) that are wanted, whenever stored, oldest first."""
        names = {self._store.keys.events(stream): stream for stream in spans}
        by_key = {key: spans[stream] for key, stream in names.items()}
        async for key, (entry_id, fields) in oldest_first(self._store, by_key):
            found = self.read(names[key], entry_id, fields)
            if wanted.matches(found.event):
                yield found

    async def last_entries(self, streams: Sequence[str]) -> dict[str, str]:
        """Return the id of the last entry of each stream; `0-0` of an empty one."""
        ids = await last_ids(self._store, [self._store.keys.events(stream) for stream in streams])
        return dict(zip(streams, ids.values(), strict=True))

    async def find(self, event_id: str) -> StoredEvent | None:
        """Return the newest event of this id: by its deduplication marker, or else among the newest events of all.

        An id that is shortened, as a narrow table does it, has no marker.
        """
        event_id = event_id.strip().lower().encode(errors="backslashreplace").decode()  # an argument may be any bytes
        if is_shortened(event_id):
            return await self._search(lambda id_: is_short_for(event_id, id_))
        return await self._marked(event_id) or await self._search(event_id.__eq__)

    async def _marked(self, event_id: str) -> StoredEvent | None:
        streams, keys = self._catalogue.streams(), self._store.keys
        seen = [keys.seen(stream, event_id) for stream in streams]
        values = forgiven(await self._store.commands([("GET", key) for key in seen]), seen, None)
        markers = zip(streams, map(read_marker, checked(values)), strict=True)
        places = [(stream, marker.entry_id) for stream, marker in markers if marker]
        ranges = [("XRANGE", keys.events(stream), marker, marker) for stream, marker in places]
        replies = checked(forgiven(await self._store.commands(ranges), [key for _, key, *_ in ranges], []))
        rows = ((stream, *reply[0]) for (stream, _), reply in zip(places, replies, strict=True) if reply)
        found = [self.read(*row) for row in rows]
        return max(found, key=lambda stored: order_of(stored.entry_id), default=None)

    async def _search(self, is_wanted: Callable[[str], bool]) -> StoredEvent | None:
        names = {self._store.keys.events(stream): stream for stream in self._catalogue.streams()}
        async for key, (entry_id, fields) in first(newest_first(self._store, list(names), Span()), SEARCHED):
            if is_wanted(text_of(fields, ID)):
                return self.read(names[key], entry_id, fields)
        return None

    def read(self, stream: str, entry_id: bytes, fields: Fields) -> StoredEvent:
        """Return what an entry of a stream is."""
        return StoredEvent(entry_id.decode(), stream, self._event(stream, fields))

    def _event(self, stream: str, fields: Fields) -> Event | None:
        try:
            return read_event(self._catalogue, stream, fields, renormalise=self._renormalise)
        except UnreadableEvent:
            return None
