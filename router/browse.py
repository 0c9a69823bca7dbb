"""Looking into what was received: the events in their streams, and what was quarantined."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from router.catalogue import Catalogue
from router.event import Event
from router.normalise import UnreadableEvent, normalise
from router.pages import PAGE, Span, checked, newest_first, order_of
from router.store import Store

__all__ = ["SEARCHED", "Browser", "EventFilter", "Quarantined", "StoredEvent"]

SEARCHED = 40 * PAGE
"""How many of the newest events are searched for an id whose deduplication marker is gone."""

_MOST_DIGITS = 15


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events to show: a glob over the resource, the exact company, and when they were stored."""

    resource: str | None = None
    company: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def matches(self, event: Event | None) -> bool:
        """Return whether an event, or an entry that is none, is to be shown."""
        if self.resource is None and self.company is None:
            return True
        if event is None or self.company not in (None, event.company_id):
            return False
        return self.resource is None or fnmatchcase(event.resource or "", self.resource)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An entry of a stream; `event` is None where it cannot be read: somebody else wrote it."""

    entry_id: str
    stream: str
    event: Event | None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A signed body, or an item of one, that is no event."""

    entry_id: str
    publisher: str
    id: str
    received_at: datetime
    reason: str
    raw: bytes


class Browser:
    """Reads what one store holds; every method raises StoreUnavailable when it is away."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self._store = store
        self._catalogue = catalogue

    async def newest(self, streams: Sequence[str], wanted: EventFilter) -> AsyncIterator[StoredEvent]:
        """Yield the events of these streams, newest first."""
        names = {self._store.keys.events(stream): stream for stream in streams}
        span = Span.between(wanted.since, wanted.until)
        async for key, (entry_id, fields) in newest_first(self._store, list(names), span):
            found = self._stored(names[key], entry_id, fields)
            if wanted.matches(found.event):
                yield found

    async def find(self, event_id: str) -> StoredEvent | None:
        """Return the newest event of this id: by its deduplication marker, or else among the newest events of all."""
        event_id = event_id.strip().lower()
        return await self._marked(event_id) or await self._search(event_id)

    async def quarantined(self, publishers: Sequence[str], since: datetime | None = None) -> AsyncIterator[Quarantined]:
        """Yield what was quarantined of these publishers, newest first."""
        names = {self._store.keys.quarantine(slug): slug for slug in publishers}
        async for key, (entry_id, fields) in newest_first(self._store, list(names), Span.between(since, None)):
            yield _quarantined(names[key], entry_id, fields)

    async def find_quarantined(self, wanted: str, publishers: Sequence[str]) -> Quarantined | None:
        """Return the newest that was quarantined under this id, of the entry or of the body."""
        wanted = wanted.strip().lower()
        async for found in self.quarantined(publishers):
            if wanted in (found.entry_id, found.id):
                return found
        return None

    async def _marked(self, event_id: str) -> StoredEvent | None:
        streams, keys = self._catalogue.streams(), self._store.keys
        markers = checked(await self._store.commands([("GET", keys.seen(stream, event_id)) for stream in streams]))
        places = [(stream, marker) for stream, marker in zip(streams, markers, strict=True) if marker]
        ranges = [("XRANGE", keys.events(stream), marker, marker) for stream, marker in places]
        replies = checked(await self._store.commands(ranges))
        rows = ((stream, *reply[0]) for (stream, _), reply in zip(places, replies, strict=True) if reply)
        found = [self._stored(*row) for row in rows]
        return max(found, key=lambda stored: order_of(stored.entry_id), default=None)

    async def _search(self, event_id: str) -> StoredEvent | None:
        names = {self._store.keys.events(stream): stream for stream in self._catalogue.streams()}
        searched = 0
        async for key, (entry_id, fields) in newest_first(self._store, list(names), Span()):
            if fields.get(b"id") == event_id.encode():
                return self._stored(names[key], entry_id, fields)
            searched += 1
            if searched == SEARCHED:
                break
        return None

    def _stored(self, stream: str, entry_id: bytes, fields: Mapping[bytes, bytes]) -> StoredEvent:
        return StoredEvent(entry_id.decode(), stream, _event(self._catalogue, stream, fields))


def _event(catalogue: Catalogue, stream: str, fields: Mapping[bytes, bytes]) -> Event | None:
    try:
        event_id = fields[b"id"].decode()
        return normalise(catalogue, stream, event_id, fields[b"raw"], _received(fields))
    except (KeyError, ValueError, UnreadableEvent):
        return None


def _quarantined(publisher: str, entry_id: bytes, fields: Mapping[Any, bytes]) -> Quarantined:
    text = {name: fields.get(name, b"").decode(errors="replace") for name in (b"id", b"reason")}
    received = _received(fields)
    return Quarantined(entry_id.decode(), publisher, text[b"id"], received, text[b"reason"], fields.get(b"raw", b""))


def _received(fields: Mapping[bytes, bytes]) -> datetime:
    """Return the time of an entry; one that somebody wrote by hand may have none, or an impossible one."""
    at = fields.get(b"at", b"0")
    return datetime.fromtimestamp(int(at) / 1000 if at.isdigit() and len(at) < _MOST_DIGITS else 0, UTC)
