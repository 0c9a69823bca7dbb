"""Giving a subscription past events of the archive once more, through its inbox, as events of the streams are."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

from router.events.catalogue import Catalogue
from router.store import scripts
from router.store.client import Store
from router.store.errors import forgiven
from router.store.reading import checked, order_of
from router.store.record import Fields
from workers.archive.line import Archived
from workers.archive.name import Bounds
from workers.archive.reading import Reading
from workers.operations.change import Result
from workers.operations.events import EventFilter, StoredEvent
from workers.operations.handover import Handover, ReplayOptions

__all__ = ["Recall", "Recalled"]

_ROOM: Final = 900
"""Deliveries in an inbox with which no more are given: the subscription's retries wait where there are 1,000."""

_WAIT: Final = 0.05  # seconds between two looks, which become longer
_LONGEST: Final = 1.0
_LAST: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Recalled(StoredEvent):
    """An entry of the archive, with the fields that it had in its stream."""

    fields: Fields = field(default_factory=dict)


class Recall(Handover):
    """Gives a subscription past events of the archive, in the order of their acceptance: see `Handover`.

    What it was not given and is in its stream still comes to it anyway, and is left out; what is not in the stream any
    more is given, though it never had it. What an earlier replay gave, from the stream or the archive, is left out
    likewise. It goes as fast as the subscription handles the events: `wait` is called with True when it begins to wait
    for that, and with False when it goes on.
    """

    def __init__(
        self,
        reading: Reading,
        store: Store,
        catalogue: Catalogue,
        subscription: str,
        wanted: EventFilter,
        options: ReplayOptions,
        wait: Callable[[bool], None] = lambda _: None,
    ) -> None:
        super().__init__(store, catalogue, subscription, wanted, options)
        self.selector["from"] = "archive"
        self.reading = reading
        self._wait = wait
        self._is_giving = False

    async def ends(self, delivered: Mapping[str, str]) -> Mapping[str, str]:
        """Return the last entry of each stream that was given to it, or is in the stream no more."""
        keys = [self.store.keys.events(stream) for stream in delivered]
        replies = await self.store.commands([("XRANGE", key, "-", "+", "COUNT", 1) for key in keys])
        oldest = [reply[0][0].decode() if reply else "" for reply in checked(forgiven(replies, keys, []))]
        now = f"{int(time.time() * 1000)}-0"
        rows = zip(delivered.items(), oldest, strict=True)
        return {stream: max(last, _before(first) if first else now, key=order_of) for (stream, last), first in rows}

    async def found(self) -> AsyncIterator[StoredEvent]:
        """Yield the events, oldest first over all streams, leaving out what is no event."""
        spans = {stream: Bounds.of(span) for stream, span in self.spans.items()}
        number = 0
        async with aclosing(self.reading.entries(spans)) as entries:
            async for entry in entries:
                found = self._read(entry)
                if found.event is None or not self.wanted.matches(found.event):
                    continue
                if self._is_giving and number % self.batch == 0:
                    await self._room(list(spans))
                number += 1
                yield found

    async def run(self, **options: Any) -> Result:
        """Give what is selected, as `Change.run` does."""
        if not (self.seen.number and self.seen.complete):
            await self.preview()
        self._is_giving = True
        return await super().run(**options)

    def size_of(self, item: StoredEvent) -> int:
        """Return the bytes to send for an event."""
        assert isinstance(item, Recalled)
        return sum(map(len, item.fields.values()))

    def call(self, stream: str, events: Sequence[StoredEvent], line: str) -> scripts.Call:
        """Return what gives these events of a stream."""
        rows = [(stored.entry_id, stored.fields) for stored in events if isinstance(stored, Recalled)]
        return scripts.hand_back(*self.given_to(stream, line), rows, renormalise=self.options.renormalise)

    def _read(self, entry: Archived) -> Recalled:
        found = self.browser.read(entry.stream, entry.entry_id.encode(), entry.fields)
        return Recalled(found.entry_id, found.stream, found.event, entry.fields)

    async def _room(self, streams: Sequence[str]) -> None:
        """Wait until the inboxes of these streams have room."""
        inboxes = [("XLEN", self.store.keys.inbox(stream, self.subject)) for stream in streams]
        pause = _WAIT
        while max(checked(await self.store.commands(inboxes))) >= _ROOM:
            if pause == _WAIT:
                self._wait(True)
            await asyncio.sleep(pause)
            pause = min(_LONGEST, 2 * pause)
        if pause > _WAIT:
            self._wait(False)


def _before(entry_id: str) -> str:
    """Return the last id before an entry."""
    millis, number = order_of(entry_id)
    return f"{millis}-{number - 1}" if number else f"{max(0, millis - 1)}-{_LAST}"
