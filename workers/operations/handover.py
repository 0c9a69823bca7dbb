"""Giving a subscription past events once more, through its inbox, where only it reads."""

import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Self

from redis.exceptions import ResponseError

from config.errors import RouterError
from router.events.catalogue import Catalogue
from router.store import scripts
from router.store.client import Store
from router.store.reading import Span, checked, order_of
from workers.operations.events import Browser, EventFilter, StoredEvent
from workers.state.existing import existing_groups

__all__ = ["Given", "Handover", "NotSubscribed", "Position"]

_ENTRY_ID = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")


class NotSubscribed(RouterError):
    """The subscription has none of the streams: nobody would ever read what it was given."""


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
        if not _ENTRY_ID.fullmatch(entry_id):
            raise ValueError(f"{text!r} is no entry: write one such as 1763828400000-0, as `events show` names it")
        return cls(entry_id, stream or None)

    def first(self, streams: Sequence[str], stream: str) -> str:
        """Return the first entry of a stream that is behind it, as XRANGE spells it; `streams` in their order."""
        known = self.stream is not None and self.stream in streams
        ahead = not known or streams.index(stream) <= streams.index(self.stream or "")
        return f"({self.entry_id}" if ahead else self.entry_id


class Given(NamedTuple):
    """How many events were given, and for how many the server refused it; the others are not in their streams now."""

    changed: int
    failed: int


class Handover:
    """Past events for one subscription: those that it was given before and that are still in their streams.

    What it was not given yet comes to it anyway, and is left out. `after` leaves out what is not behind that position.
    """

    def __init__(
        self, store: Store, catalogue: Catalogue, subscription: str, wanted: EventFilter, after: Position | None = None
    ) -> None:
        self._store = store
        self._browser = Browser(store, catalogue)
        self._subscription = subscription
        self._wanted = wanted
        self._after = after
        self._spans: Mapping[str, Span] = {}

    async def choose(self, streams: Sequence[str]) -> list[str]:
        """Settle what is meant, once for all that follows: what comes later is not; return the streams without it.

        Raises NotSubscribed where the subscription has none of the streams, and StoreUnavailable.
        """
        groups = await existing_groups(self._store, streams)
        last = {
            stream: group.last_delivered
            for stream, found in groups.items()
            for group in found
            if group.name == self._subscription
        }
        if not last:
            raise NotSubscribed(f"{self._subscription} subscribes to none of {', '.join(streams)}")
        after, since = self._after, self._wanted.span().first
        self._spans = {
            stream: Span(after.first(streams, stream) if after else since, _earlier(last[stream], self._wanted))
            for stream in streams
            if stream in last
        }
        return [stream for stream in streams if stream not in last]

    async def events(self) -> AsyncIterator[StoredEvent]:
        """Yield what is meant, oldest first over all streams, leaving out what is no event; raises StoreUnavailable."""
        async for stored in self._browser.oldest(self._spans, self._wanted):
            if stored.event is not None:
                yield stored

    async def give(self, events: Sequence[StoredEvent], reason: str = "") -> Given:
        """Give these events, at most 100 of a stream; not safe to repeat, which gives them again."""
        line = json.dumps({"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "replayed": reason})
        ids: dict[str, list[str]] = {}
        for stored in events:
            ids.setdefault(stored.stream, []).append(stored.entry_id)
        replies = await self._store.run([self._call(stream, found, line) for stream, found in ids.items()])
        refused = [isinstance(reply, ResponseError) for reply in replies]
        failed = sum(len(found) for found, no in zip(ids.values(), refused, strict=True) if no)
        return Given(sum(checked([reply for reply, no in zip(replies, refused, strict=True) if not no])), failed)

    def _call(self, stream: str, ids: Sequence[str], line: str) -> scripts.Call:
        keys, name = self._store.keys, self._subscription
        return scripts.hand_over(keys.events(stream), keys.inbox(stream, name), name, ids, line)


def _earlier(last_delivered: str, wanted: EventFilter) -> str:
    """Return the last entry to take: what was delivered, and no later than it is wanted."""
    last = wanted.span().last
    if last == "+" or order_of(last_delivered)[0] <= order_of(last)[0]:
        return last_delivered
    return last
