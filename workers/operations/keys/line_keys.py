"""The keys of a keyed subscription as an operator sees them: how each stands, and the events of one in order."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

import msgspec

from router.events.catalogue import Catalogue
from router.events.fields import UnreadableEvent
from router.events.globs import is_resource
from router.store.client import Store
from router.store.keys import LINES
from router.store.lines import Lines
from router.store.reading import moment_of
from router.store.record import EVENT, ID, REASON, read_event, text_of
from router.store.scripts import BATCH
from workers.delivery import Held, Merged
from workers.keyed.entry import came_at, is_mergeable, merged_before, stream_of, unpack
from workers.keyed.keying import whose
from workers.operations.criteria import Criteria
from workers.state.companies import CompanyPause, company_pause

_PAGE_BYTES: Final = 1024 * 1024
"""Bytes of bodies from which on one reply has no more events: they may be large."""

_NO_TIME = b"inf"


@dataclass(frozen=True, slots=True)
class KeySelector(Criteria):
    """Which keys are wanted: one of them by name, only held ones, of a company, of resources that fit a glob.

    A resource is that of a key's first event; of a held key without events that in its name, if no function made it.
    """

    key: str | None = None
    held: bool = False
    company: str | None = None
    resource: str | None = None

    def wants(self, found: "LineKey") -> bool:
        """Return whether a key is wanted, by all but its name."""
        return (
            (not self.held or found.state == "held")
            and (self.company is None or self.company == found.company)
            and (self.resource is None or is_resource(found.resource, self.resource))
        )


@dataclass(frozen=True, slots=True)
class LineKey:
    """A key: its state, how many events wait, and what its first one is.

    state: `ready` for a worker, `scheduled` for the next attempt, `quiet` while more to merge may come, `running` with
    a worker, or `held` for an operator. events: how many there are; a held key may have none. since: since when it is
    held. until: when a scheduled or quiet one is ready. oldest_at: when the oldest of its events came. worker: who has
    it. paused: of its company. limit: how many of its company may run at once, where so many do: a ready one waits.
    """

    key: str
    name: bytes
    ref: bytes
    state: str
    events: int
    company: str = ""
    first_id: str | None = None
    resource: str | None = None
    oldest_at: datetime | None = None
    since: datetime | None = None
    until: datetime | None = None
    worker: str | None = None
    paused: CompanyPause | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class LineEvent:
    """An event in the line of its key.

    at: when it came to its stream or, replayed, to the inbox. attempts: how many were used up. merged_into: the id of
    the later event that stands for it, as far as that is known yet. is_handled: whether a worker has it now.
    reason: why it is about to be a dead letter. merged: the events that it has stood for before, as a
    dead letter that was replayed; or will as a dead letter.
    """

    id: str
    stream: str
    at: datetime
    attempts: int
    merged_into: str | None = None
    reason: str | None = None
    merged: tuple[Merged, ...] = ()
    is_handled: bool = False

    @property
    def type(self) -> str:
        """Its event type."""
        return self.stream.partition("/")[2]


class _Identity(msgspec.Struct):
    resource: str | None = None


_decode = msgspec.json.Decoder(_Identity).decode


class LineKeys:
    """Reads the lines of one subscription, in pages of bounded size; every method raises StoreUnavailable."""

    def __init__(self, store: Store, catalogue: Catalogue, subscription: str) -> None:
        self._store = store
        self._catalogue = catalogue
        self.lines = Lines(store.keys, subscription)
        self._places = dict(zip(LINES, self.lines.keys, strict=True))
        self._rule: str | None = None

    async def select(self, selector: KeySelector) -> AsyncIterator[LineKey]:
        """List keys in order of their names, then those held without events; held ones alone by when they were."""
        async for names in self._names(selector):
            async for found in self.look(names):
                if selector.wants(found):
                    yield found

    async def look(self, names: Sequence[bytes]) -> AsyncIterator[LineKey]:
        """Describe these keys; those without anything are left out."""
        left = names
        while left:
            rows = await self._store.call(self.lines.look(left[:BATCH], _PAGE_BYTES))
            left = left[len(rows) :]
            for row in rows:
                if row[2]:
                    yield self._key(row) if row[1] else await self._without_events(row)

    async def show(self, name: bytes) -> LineKey | None:
        """Describe one key; None for one without anything."""
        return next(iter([found async for found in self.look([name])]), None)

    async def line(self, name: bytes, limit: int) -> list[LineEvent]:
        """Return the first events of a key, in order."""
        running = b""
        pairs: list[tuple[bytes, bytes]] = []
        while len(pairs) < limit:
            after = pairs[-1][0] if pairs else b""
            count = min(BATCH, limit - len(pairs))
            now_running, *found = await self._store.call(self.lines.line(name, after, count, _PAGE_BYTES))
            running = running or now_running
            pairs += zip(found[::2], found[1::2], strict=True)
            if not found:
                break
        return [*_events(pairs, running)]

    async def held_keys(self) -> AsyncIterator[Sequence[bytes]]:
        """Name the keys that are held, in pages; one may be named twice."""
        cursor: Any = 0
        while True:
            cursor, found = await self._store.command("ZSCAN", self._places["held"], cursor, "COUNT", BATCH)
            names = [name for name, _ in found]
            for start in range(0, len(names), BATCH):
                yield names[start : start + BATCH]
            if not int(cursor):
                return

    async def _names(self, selector: KeySelector) -> AsyncIterator[Sequence[bytes]]:
        if selector.key is not None:
            yield [selector.key.encode(errors="backslashreplace")]
            return
        if not selector.held:
            async for names in self._waiting():
                yield names
        seen: set[bytes] = set()
        async for names in self.held_keys():
            new = [name for name in dict.fromkeys(names) if name not in seen]
            seen.update(new)
            yield new if selector.held else [found.name async for found in self.look(new) if not found.events]

    async def _waiting(self) -> AsyncIterator[Sequence[bytes]]:
        after: bytes | None = None
        while names := await self._store.call(self.lines.names(after, BATCH)):
            yield names
            after = names[-1]

    def _key(self, row: Sequence[Any]) -> LineKey:
        name, number, state, at, token, ref, body, until, known, limit, oldest = row
        company, fields = unpack(body)
        moment = _moment(at)
        state = state.decode()
        return LineKey(
            key=shown(name),
            name=name,
            ref=ref,
            state=state,
            events=number,
            company=company.decode(errors="backslashreplace"),
            first_id=(text_of(fields, ID) or None) if fields else None,
            resource=self._resource(ref, fields),
            oldest_at=_moment(oldest),
            since=moment if state == "held" else None,
            until=moment if state in ("scheduled", "quiet") else None,
            worker=worker_of(token) if token else None,
            paused=company_pause(company, until, known) if until else None,
            limit=limit or None,
        )

    async def _without_events(self, row: Sequence[Any]) -> LineKey:
        """Describe a held key that no event tells of, by its name as far as that says whose it is."""
        if self._rule is None:
            rule = await self._store.command("HGET", self.lines.read, "keying")
            self._rule = (rule or b"").decode(errors="replace")
        company, resource = whose(self._rule, row[0])
        return replace(self._key(row), company=company, resource=resource)

    def _resource(self, ref: bytes, fields: dict[bytes, bytes]) -> str | None:
        with suppress(UnreadableEvent, ValueError, RecursionError, OverflowError):
            if EVENT in fields:
                return _decode(fields[EVENT]).resource
            if fields:
                return read_event(self._catalogue, stream_of(ref), fields).resource
        return None


def shown(name: bytes) -> str:
    """Return a key as text."""
    return name.decode(errors="backslashreplace")


def worker_of(token: bytes) -> str:
    """Return which worker a token is of."""
    return token.partition(b"/")[0].decode(errors="backslashreplace")


def _moment(at: bytes) -> datetime | None:
    if not at or at == _NO_TIME:
        return None
    return moment_of(f"{max(0, int(float(at)))}-0")


def _events(pairs: Sequence[tuple[bytes, bytes]], running: bytes) -> Iterable[LineEvent]:
    """Yield events with what stands for them: of those in a row that may be merged, or that run, the last."""
    ids = [text_of(unpack(body)[1], ID) for _, body in pairs]
    into: list[str | None] = [None] * len(pairs)
    for at, ((ref, _), (following, _)) in reversed([*enumerate(pairwise(pairs))]):
        if is_mergeable(ref) and is_mergeable(following) and ref != running:
            into[at] = into[at + 1] or ids[at + 1]
    for (ref, body), id_, merged_into in zip(pairs, ids, into, strict=True):
        held = Held(stream_of(ref), ref, unpack(body)[1], inbox=False, touched=0.0)
        reason = text_of(held.fields, REASON) or None
        merged = tuple(merged_before(held.fields))
        is_handled = bool(running) and ref <= running
        yield LineEvent(id_, held.stream, came_at(ref), held.used, merged_into, reason, merged, is_handled)
