"""Events in streams: as they came, waiting for a retry, in an inbox, and among the dead letters."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence

from router.store import scripts
from router.store.errors import StoreRefused
from router.store.reading import Span, checked, forward
from router.store.record import ID, ORIGIN, Fields, text_of
from workers.operations.audit import CHANGED, FAILED
from workers.operations.erasing.found import Found, Ground, Place
from workers.operations.erasing.traces import remove_traces

__all__ = ["Entries", "stream_places"]

_PAGE = 100


class Entries(Place):
    """The events in one stream of a set; `subscription` is empty for the stream that all read.

    due: the key of what schedules them. imported: that of what names the imported ones.
    """

    def __init__(
        self,
        ground: Ground,
        name: str,
        key: str,
        stream: str,
        subscription: str = "",
        *,
        due: str = "",
        imported: str = "",
    ) -> None:
        super().__init__(ground)
        self.name = name
        self.key = key
        self.stream = stream
        self.subscription = subscription
        self._due, self._imported = due, imported

    async def found(self) -> AsyncIterator[Found]:
        """Yield the oldest first."""
        async for entry_id, fields in forward(self.store, self.key, Span(), _PAGE):
            pairs = self.ground.pairs(self.stream, fields)
            if self.ground.whose.wants_any(pairs):
                size = sum(map(len, fields.values()))
                yield Found(
                    place=self,
                    where=self.key,
                    id=entry_id.decode(),
                    content=fields,
                    whose=next(iter(pairs), ("", "")),
                    size=size,
                    payload=fields,
                )

    async def erase(self, items: Sequence[Found]) -> Counter[str]:
        """Remove what else knows these first: nobody would find that again without them."""
        await remove_traces(self.ground, [(self.stream, item.payload, item.whose) for item in items])
        if self._imported and (names := [name for item in items for name in _imports(item)]):
            await self.commands(("HDEL", self._imported, *names))
        (reply,) = await self.store.run([scripts.erase(self.key, [item.id for item in items], self._due)])
        if isinstance(reply, StoreRefused):
            return Counter({FAILED: len(items)})
        return Counter({CHANGED: checked([reply])[0]})


def _imports(item: Found) -> list[str]:
    """Return by which names a dead letter may stand among those that were imported: see restore.lua."""
    fields: Fields = item.payload
    event_id = text_of(fields, ID)
    return [f"{origin} {event_id}" for origin in (item.id, text_of(fields, ORIGIN)) if origin]


def stream_places(ground: Ground) -> list[Entries]:
    """Return the places of all streams, in the order in which an event moves through them."""
    keys, places = ground.store.keys, []
    for stream in ground.streams:
        places.append(Entries(ground, "streams", keys.events(stream), stream))
        for name in ground.groups[stream]:
            own = (stream, name)
            places += [
                Entries(ground, "retries", keys.parked(*own), *own, due=keys.due(*own)),
                Entries(ground, "inboxes", keys.inbox(*own), *own),
            ]
    return places


def dead_places(ground: Ground) -> list[Entries]:
    """Return the places of all dead letters."""
    keys = ground.store.keys
    return [
        Entries(ground, "dead letters", keys.dead(*own), *own, imported=keys.restored(*own))
        for stream in ground.streams
        for own in ((stream, name) for name in ground.groups[stream])
    ]
