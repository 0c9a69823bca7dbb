"""What a subscription has on each of its streams."""

from collections.abc import Sequence
from dataclasses import dataclass

from router.store.client import Store
from router.store.errors import forgiven
from router.store.reading import checked
from workers.state.overview import overview


@dataclass(frozen=True, slots=True)
class Holding:
    """What a subscription has on one stream: `waiting` is not finished in the stream itself, the others are its own."""

    stream: str
    waiting: int
    inbox: int
    scheduled: int
    dead: int


async def holdings(store: Store, streams: Sequence[str], name: str) -> list[Holding]:
    """Return what a subscription has on each of the streams that it is on; raises StoreUnavailable."""
    found = [
        (seen.stream, way) for seen in await overview(store, streams) for way in seen.subscriptions if way.name == name
    ]
    keys = [store.keys.inbox(stream, name) for stream, _ in found]
    lengths = checked(forgiven(await store.commands([("XLEN", key) for key in keys]), keys, 0))
    return [
        Holding(stream, max(0, way.lag + way.pending - inbox), inbox, way.scheduled, way.dead)
        for (stream, way), inbox in zip(found, lengths, strict=True)
    ]
