"""Giving a subscription past events once more, through its inbox, where only it reads."""

import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final, NamedTuple, Self

from config.errors import RouterError
from router.events.catalogue import Catalogue
from router.events.event import Event
from router.events.globs import select
from router.store import scripts
from router.store.client import Store
from router.store.errors import StoreRefused
from router.store.keys import Keys
from router.store.reading import Span, checked, is_entry_id, moment_of, order_of, refusal_of
from workers.operations.audit import CHANGED, FAILED
from workers.operations.change import Change
from workers.operations.events import Browser, EventFilter, StoredEvent
from workers.state.filters import wheres
from workers.state.groups import existing_groups, parse_groups

ALL: Final = "*"
"""The glob that means every stream."""

BEFORE: Final = "before"
"""What a replay counts beside what every change does: the events that it had given before."""

_WEEK = 7 * 86_400  # seconds


class NotSubscribed(RouterError):
    """No worker of the subscription reads any of the streams: what it was given would reach nobody."""


class Position(NamedTuple):
    """A place in the order in which events are given: behind this entry, of this stream where several have its id."""

    entry_id: str
    stream: str | None = None

    def __str__(self) -> str:
        """Return it as `parse` reads it."""
        return f"{self.entry_id}/{self.stream}" if self.stream else self.entry_id

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an entry id, or one with `/` and a stream; raises ValueError for anything else."""
        entry_id, _, stream = text.strip().partition("/")
        if not is_entry_id(entry_id):
            raise ValueError(f"{text!r} is no entry: write one such as 1763828400000-0, as `events show` names it")
        return cls(entry_id, stream or None)

    def first(self, streams: Sequence[str], stream: str) -> str:
        """Return the first entry of a stream that is behind it, as XRANGE spells it; `streams` in their order."""
        known = self.stream is not None and self.stream in streams
        ahead = not known or streams.index(stream) <= streams.index(self.stream or "")
        return f"({self.entry_id}" if ahead else self.entry_id


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """How past events are given once more.

    glob: of which streams. after: only what is behind that position. again: the name of a new replay, which gives also
    what others gave. most: so many events at most. renormalise: the events are made again from the bytes as sent, by
    the catalogue of today, to select by them and when they are handled.
    """

    glob: str = ALL
    after: Position | None = None
    again: str = ""
    most: int | None = None
    renormalise: bool = False

    def describe(self) -> Mapping[str, str]:
        """Return what the audit says of them, beside the filter and the number."""
        after = str(self.after) if self.after else ""
        given = {"after": after, "again": self.again, "renormalise": "true" if self.renormalise else ""}
        return {name: value for name, value in given.items() if value}


ONCE: Final = ReplayOptions()
"""All that a subscription was given, once."""


class Handover(Change[StoredEvent]):
    """Gives a subscription past events once more: those that it was given before and that are still in their streams.

    What it was not given yet comes to it anyway, and is left out. What was given is remembered for a week at least:
    repeating a replay gives the rest, and counts what was given BEFORE.
    """

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        subscription: str,
        wanted: EventFilter,
        options: ReplayOptions = ONCE,
    ) -> None:
        selector = {"glob": options.glob, **wanted.describe(), **options.describe()}
        super().__init__(store, "events replay", subject=subscription, selector=selector, most=options.most)
        self.browser = Browser(store, catalogue, renormalise=options.renormalise)
        self.options = options
        self.streams = select(catalogue, options.glob)
        self.wanted = wanted
        self._name = _name_of(options.again)
        self.spans: Mapping[str, Span] = {}
        self.left_out: Sequence[str] = ()
        self.last: Position | None = None

    async def freeze(self) -> datetime | None:
        """Settle the last event of each stream: the last that the subscription was given; `left_out` it does not have.

        Raises NotSubscribed where no worker has any of the streams for it, as for the group of another program.
        """
        streams, groups = self.streams, await existing_groups(self.store, self.streams)
        last = {
            stream: group.last_delivered
            for stream, found in groups.items()
            for group in found
            if group.name == self.subject
        }
        if not last:
            raise NotSubscribed(f"{self.subject} subscribes to none of {', '.join(streams)}")
        read = await self._with_inbox(list(last))
        if not read:
            raise NotSubscribed(
                f"no worker reads the inbox of {self.subject}, where replays go: it is the group of another program; "
                "docs/streams.md says how that reads past events again"
            )
        after, since = self.options.after, self.wanted.span().first
        ends = await self.ends({stream: last[stream] for stream in streams if stream in read})
        self.spans = {
            stream: Span(after.first(streams, stream) if after else since, _earlier(end, self.wanted))
            for stream, end in ends.items()
        }
        self.left_out = [stream for stream in streams if stream not in read]
        self.filters = await wheres(self.store, [self.subject])
        return max(moment_of(span.last) for span in self.spans.values())

    async def ends(self, delivered: Mapping[str, str]) -> Mapping[str, str]:
        """Return the last entry of each stream that may be given, by the last one that it was given."""
        return delivered

    async def _with_inbox(self, streams: Sequence[str]) -> set[str]:
        """Return on which streams it has an inbox that a worker reads: a worker makes both groups at its start."""
        inboxes = [("XINFO", "GROUPS", self.store.keys.inbox(stream, self.subject)) for stream in streams]
        groups = map(parse_groups, await self.store.commands(inboxes))
        return {stream for stream, found in zip(streams, groups, strict=True) if found}

    async def found(self) -> AsyncIterator[StoredEvent]:
        """Yield the events, oldest first over all streams, leaving out what is no event."""
        async for stored in self.browser.oldest(self.spans, self.wanted):
            if stored.event is not None:
                yield stored

    def subscriptions_of(self, _item: StoredEvent) -> Sequence[str]:
        """Return the subscription that gets it."""
        return (self.subject,)

    def event_of(self, item: StoredEvent) -> Event | None:
        """Return the event that it gets."""
        return item.event

    async def apply(self, batch: Sequence[StoredEvent]) -> Counter[str]:
        """Give these events; `last` is how far it came."""
        line = json.dumps({"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "replayed": self.reason})
        events: dict[str, list[StoredEvent]] = {}
        for stored in batch:
            events.setdefault(stored.stream, []).append(stored)
        replies = await self.store.run([self.call(stream, found, line) for stream, found in events.items()])
        self.result.refusal = refusal_of(replies) or self.result.refusal
        counts: Counter[str] = Counter()
        for found, reply in zip(events.values(), replies, strict=True):
            if isinstance(reply, StoreRefused):
                counts[FAILED] += len(found)
            else:
                ((given, before),) = checked([reply])
                counts.update({CHANGED: given, BEFORE: before})
        self.last = Position(batch[-1].entry_id, batch[-1].stream)
        return counts

    def call(self, stream: str, events: Sequence[StoredEvent], line: str) -> scripts.Call:
        """Return what gives these events of a stream, with a line for their history."""
        ids = [stored.entry_id for stored in events]
        return scripts.hand_over(
            self.store.keys.events(stream), *self.given_to(stream, line), ids, renormalise=self.options.renormalise
        )

    def given_to(self, stream: str, line: str) -> tuple[str, Sequence[str], str, str, str, int]:
        """Return where it is given: the inbox, what remembers it, the group, the line, the replay's name and a time."""
        keys, name = self.store.keys, self.subject
        return keys.inbox(stream, name), replayed_keys(keys, stream, name), name, line, self._name, 2 * _WEEK * 1000


def replayed_keys(keys: Keys, stream: str, subscription: str) -> list[str]:
    """Return the keys that remember what was replayed: of this week, and of the weeks before and after it.

    The week after has begun already where the clock of another operator is ahead of ours.
    """
    week = int(time.time()) // _WEEK
    return [keys.replayed(stream, subscription, number) for number in (week, week - 1, week + 1)]


def _name_of(again: str) -> str:
    """Return what distinguishes in the store what a replay of this name gave; empty for one without."""
    return f"/{blake2b(again.encode(errors='replace'), digest_size=6).hexdigest()}" if again else ""


def _earlier(last_delivered: str, wanted: EventFilter) -> str:
    """Return the last entry to take: what was delivered, and no later than it is wanted."""
    last = wanted.span().last
    if last == "+" or order_of(last_delivered)[0] <= order_of(last)[0]:
        return last_delivered
    return last
