"""The life of one event: when it came, how often it was refused as a duplicate, and where it is for each subscription.

Nothing is stored for this. An event that a subscription has been given, and that is in none of its places any more, is
done; so nothing but that is known of it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal

from router.store.client import Store
from router.store.errors import forgiven, is_no_group
from router.store.keys import ECHO, ONCE
from router.store.reading import Entry, Span, checked, forward, moment_of, order_of
from router.store.record import ID, MERGED, REASON, text_of
from workers.deferrals import Deferrals
from workers.delivery import AttemptError, Held
from workers.keyed.entry import came_at, merged_before
from workers.operations.events import SEARCHED, StoredEvent, read_marker
from workers.operations.keys.line_search import InLine, LineSearch
from workers.state.companies import CompanyPause, keyed_ones
from workers.state.filters import filters
from workers.state.groups import Group, existing_groups, name_of
from workers.state.pauses import Pause, paused

State = Literal["undelivered", "pending", "scheduled", "inbox", "line", "held", "dead", "done", "unknown"]
"""Where an event is for a subscription; `unknown` where its places hold too much to look through all of it.

`line`: in the line of its key, where the subscription is keyed; `held`: there, and its key waits for an operator.
"""

_MARGIN = timedelta(hours=1)
"""How much earlier than the event its copies are looked for: a server that takes over may have a slower clock."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event is for one subscription; None stands for what does not apply, or is not known.

    attempts: how many were used up before (0 for none), crashes of workers among them. errors: how they failed, oldest
    first. since: when it came to this place. due_at: when a scheduled one is tried again. consumer: the worker that has
    a pending one in hand, renewed_at: when that worker last said so, deliveries: how often it was handed out from where
    it is. dead_entry_id, reason: of a dead letter. key: by which a keyed subscription orders it, while it is in line.
    behind: the id of the first event of that line, where it is another one. merged_into: the id of the later event that
    stands for it. deferrals: how often it was deferred, since when and why. echo: whether it was done without its
    handler, since it only repeated a write of ours; once: whether its effect was there already when it was delivered
    last; both known for a week. skipped: whether it was done without its handler, since the filter of the subscription,
    which is the one that it had then, leaves it out. paused: what keeps it waiting, of the subscription or of its
    company. limit: how many of its company may run at once, where it waits for one of those.

    `done` is also said of what was in the stream before a subscription that starts at `latest`.
    """

    subscription: str
    state: State
    attempts: int | None = None
    errors: tuple[AttemptError, ...] = ()
    since: datetime | None = None
    due_at: datetime | None = None
    consumer: str | None = None
    renewed_at: datetime | None = None
    deliveries: int | None = None
    dead_entry_id: str | None = None
    reason: str | None = None
    key: str | None = None
    behind: str | None = None
    merged_into: str | None = None
    deferrals: Deferrals | None = None
    echo: bool = False
    skipped: bool = False
    once: bool = False
    paused: Pause | CompanyPause | None = None
    limit: int | None = None

    @property
    def shown_state(self) -> str:
        """The state in the words that people read for it."""
        return _SHOWN.get(self.state, self.state)


_WAITING = frozenset({"undelivered", "scheduled", "inbox", "line", "held"})
_SHOWN = {"undelivered": "waiting", "inbox": "waiting again", "pending": "in hand", "line": "in line"}


@dataclass(frozen=True, slots=True)
class Life:
    """What is known of an event beside what it says.

    stored_at: when it was written to its stream, by the server's clock; later than it was received if it waited in a
    spool. duplicates: how often it was refused as one that is there already, whichever sender sent it again; None once
    the deduplication window is over. subscriptions: a place for each subscription in order of name, and further ones
    where it has the event several times, as a replay can make it.
    """

    entry_id: str
    stored_at: datetime
    duplicates: int | None
    subscriptions: tuple[Place, ...]


async def life(store: Store, stored: StoredEvent) -> Life:
    """Return what became of an event; raises StoreUnavailable."""
    groups = (await existing_groups(store, [stored.stream]))[stored.stream]
    look = _Look(store, stored)
    keyed = await keyed_ones(store, [group.name for group in groups])
    pauses = await paused(store, [group.name for group in groups])
    places = await asyncio.gather(*(look.places(group, is_keyed=group.name in keyed) for group in groups))
    return Life(
        entry_id=stored.entry_id,
        stored_at=moment_of(stored.entry_id),
        duplicates=await _duplicates(store, stored),
        subscriptions=tuple(_with_pause(place, pauses) for found in places for place in found),
    )


def _with_pause(place: Place, pauses: Mapping[str, Pause]) -> Place:
    """Return a place with the pause of its subscription, where that keeps the event waiting."""
    found = pauses.get(place.subscription)
    return replace(place, paused=found) if found and place.state in _WAITING else place


async def _duplicates(store: Store, stored: StoredEvent) -> int | None:
    if stored.event is None:
        return None
    key = store.keys.seen(stored.stream, stored.event.id)
    (value,) = checked(forgiven(await store.commands([("GET", key)]), [key], None))
    marker = read_marker(value)
    return marker.duplicates if marker is not None and marker.entry_id == stored.entry_id else None


class _Look:
    """Looks for one event in all places of its stream's subscriptions."""

    def __init__(self, store: Store, stored: StoredEvent) -> None:
        self._store = store
        self._stream, self._entry_id = stored.stream, stored.entry_id
        self._event = stored.event
        self._id = stored.event.id.encode() if stored.event else None
        self._span = Span.between(moment_of(stored.entry_id) - _MARGIN, None)

    async def places(self, group: Group, *, is_keyed: bool) -> list[Place]:
        """Return where the event is for a subscription, one place at the least."""
        ahead = order_of(self._entry_id) > order_of(group.last_delivered)
        found, complete = await self._everywhere(group.name, is_keyed=is_keyed)
        if not (ahead or found):  # it may have gone from a place not looked at yet to one that was
            found, complete = await self._everywhere(group.name, is_keyed=is_keyed)
        if ahead and not any(place.key for place in found):  # what comes into a line is let go by the stream afterwards
            found.insert(0, Place(group.name, "undelivered", 0))
        if found or not complete:
            return found or [Place(group.name, "unknown")]
        skipped = await self._was_skipped(group.name)
        why = None if skipped else await self._left_out(group.name)
        return [Place(group.name, "done", echo=why == ECHO, once=why == ONCE, skipped=skipped)]

    async def _was_skipped(self, name: str) -> bool:
        found = (await filters(self._store, [name])).get(name)
        return found is not None and self._event is not None and found.skips(self._stream, self._entry_id, self._event)

    async def _left_out(self, name: str) -> bytes | None:
        """Return why the handler was left out, as far as that is known."""
        if self._event is None:
            return None
        key = self._store.keys.echoed(self._stream, name, self._event.id)
        (value,) = checked(forgiven(await self._store.commands([("GET", key)]), [key], None))
        return bytes(value) if value is not None else None

    async def _everywhere(self, name: str, *, is_keyed: bool) -> tuple[list[Place], bool]:
        found, complete = await self._copies(name)
        if not is_keyed:
            return found, complete
        search = LineSearch(self._store, name, self._stream, self._entry_id, self._event)
        in_line, all_of_it = await search.find(SEARCHED)
        return [*map(partial(_in_line, name), in_line), *found], complete and all_of_it

    async def _copies(self, name: str) -> tuple[list[Place], bool]:
        """Return the places but that of what is not delivered, in the order in which an event passes through them."""
        found = await self._pending(name, self._store.keys.events(self._stream), self._entry_id)
        complete = True
        for key, read in (("parked", self._scheduled), ("inbox", self._waiting), ("dead", self._dead)):
            entries, all_of_it = await self._entries(getattr(self._store.keys, key)(self._stream, name))
            found += [place for entry in entries for place in await read(name, entry)]
            complete = complete and all_of_it
        return found, complete

    async def _entries(self, key: str) -> tuple[list[Entry], bool]:
        """Return the event's entries in one of the subscription's streams, and whether all of it was looked through."""
        found: list[Entry] = []
        searched = 0
        async for entry in forward(self._store, key, self._span):
            if self._id is not None and (entry[1].get(ID) == self._id or self._id in _merged_ids(entry[1])):
                found.append(entry)
            searched += 1
            if searched == SEARCHED:
                return found, False
        return found, True

    async def _pending(self, name: str, key: str, entry_id: str, waiting: Place | None = None) -> list[Place]:
        """Return the event's place where it is in hand; `waiting` is the one that it has there else."""
        try:
            rows: list[Any] = await self._store.command("XPENDING", key, name, entry_id, entry_id, 1, parse_detail=True)
        except Exception as error:
            if is_no_group(error):
                return []
            raise
        return [
            replace(
                waiting or Place(name, "pending", 0),
                state="pending",
                since=None,
                consumer=name_of(row["consumer"]).encode(errors="backslashreplace").decode(),
                renewed_at=datetime.now(UTC) - timedelta(milliseconds=row["time_since_delivered"]),
                deliveries=row["times_delivered"],
            )
            for row in rows
        ]

    async def _waiting(self, name: str, entry: Entry) -> Sequence[Place]:
        waiting, key = self._place(name, "inbox", entry), self._store.keys.inbox(self._stream, name)
        return await self._pending(name, key, entry[0].decode(), waiting) or [waiting]

    async def _scheduled(self, name: str, entry: Entry) -> Sequence[Place]:
        key = self._store.keys.due(self._stream, name)
        (due,) = checked(forgiven(await self._store.commands([("ZSCORE", key, entry[0])]), [key], None))
        if due is None:  # a body that was just moved on, or belongs to nothing
            return []
        return [self._place(name, "scheduled", entry, due_at=moment_of(f"{max(0, int(float(due)))}-0"))]

    async def _dead(self, name: str, entry: Entry) -> Sequence[Place]:
        reason = text_of(entry[1], REASON)
        return [self._place(name, "dead", entry, dead_entry_id=entry[0].decode(), reason=reason)]

    def _place(self, name: str, state: State, entry: Entry, **more: Any) -> Place:
        held = Held(self._stream, *entry, inbox=True, touched=0.0)
        if held.event_id.encode() != self._id:
            more["merged_into"] = held.event_id
        more |= {"since": moment_of(entry[0]), "deferrals": held.deferrals}
        return Place(name, state, held.used, held.errors(), **more)


def _merged_ids(fields: Mapping[bytes, bytes]) -> list[bytes]:
    """Return the ids of the events that a dead letter stands for besides its own."""
    return [merged.id.encode() for merged in merged_before(fields)] if MERGED in fields else []


def _in_line(name: str, found: InLine) -> Place:
    """Return the place of an event that is in the line of its key."""
    place = Place(
        name,
        "line",
        found.held.used,
        found.held.errors(),
        since=came_at(found.ref),
        key=found.key,
        merged_into=found.merged_into,
        deferrals=found.held.deferrals,
    )
    if found.is_handled:
        return replace(place, state="pending", consumer=found.worker)
    place = replace(place, paused=found.paused)
    if found.state == "ready" and found.is_first:
        place = replace(place, limit=found.limit)
    if not found.is_first and found.merged_into is None:
        place = replace(place, behind=found.first)
    if found.state == "held":
        return replace(place, state="held")
    if found.state == "scheduled" and place.behind is None:
        return replace(place, state="scheduled", due_at=moment_of(f"{max(0, int(float(found.at)))}-0"))
    return place
