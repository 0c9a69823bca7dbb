"""What the store holds at one moment, and what has passed through it so far.

An event is, for a subscription, in one place at a time. So what has come into a stream, less what waits, is in hand, is
scheduled or is dead, is done, but for a number that does not change; and of two moments only the difference matters.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from router.catalogue import Catalogue
from router.pages import checked
from router.store import Store
from workers.former import all_streams
from workers.liveness import live_consumers
from workers.oldest import oldest_waiting
from workers.overview import StreamOverview, SubscriptionOverview, overview
from workers.pausing import Pause, paused

__all__ = ["Place", "Snapshot", "look"]

Place = tuple[str, str]
"""A stream, and a subscription on it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The store at one moment: `at` on the monotonic clock (seconds) and `moment` by the calendar.

    `arrived` counts what has come into each stream, `retried` and `died` what was scheduled again or given up, ever.
    `waiting` is for how long the oldest has waited, seconds.
    """

    at: float
    moment: datetime
    streams: Sequence[StreamOverview]
    arrived: Mapping[str, int]
    retried: Mapping[Place, int]
    died: Mapping[Place, int]
    waiting: Mapping[Place, float]
    consumers: Mapping[str, Sequence[str]]
    paused: Mapping[str, Pause]

    def ways(self) -> list[tuple[str, SubscriptionOverview]]:
        """Return how far each subscription is with each stream."""
        return [(stream.stream, way) for stream in self.streams for way in stream.subscriptions]

    def done(self) -> dict[Place, int]:
        """Return for each subscription on a stream what is done; only differences of it mean something."""
        return {
            (stream, way.name): self.arrived[stream] - way.lag - way.pending - way.scheduled - way.dead
            for stream, way in self.ways()
        }


async def look(store: Store, catalogue: Catalogue, lease: float) -> Snapshot:
    """Look at everything, in a few round trips; raises StoreUnavailable."""
    found = await overview(store, await all_streams(store, catalogue))
    streams = [stream for stream in found if stream.length or stream.subscriptions]
    places = [(stream.stream, way.name) for stream in streams for way in stream.subscriptions]
    names = [stream.stream for stream in streams]
    subscriptions = sorted({name for _, name in places})
    keys = store.keys
    commands = [("XINFO", "STREAM", keys.events(stream)) for stream in names]
    commands += [("XINFO", "STREAM", keys.parked(*place)) for place in places]
    commands += [("XINFO", "STREAM", keys.dead(*place)) for place in places]
    added = [_added(reply) for reply in await store.commands(commands)]
    first, second = len(names), len(names) + len(places)
    return Snapshot(
        at=time.monotonic(),
        moment=datetime.now(UTC),
        streams=found,
        arrived=dict(zip(names, added[:first], strict=True)),
        retried=dict(zip(places, added[first:second], strict=True)),
        died=dict(zip(places, added[second:], strict=True)),
        waiting=await oldest_waiting(store, streams),
        consumers=await live_consumers(store, subscriptions, lease),
        paused=await paused(store, subscriptions),
    )


def _added(reply: Any) -> int:
    """Return how many entries a stream ever had; 0 for one that is not there."""
    if isinstance(reply, BaseException):
        if "no such key" in str(reply).lower():
            return 0
        checked([reply])
    fields = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
    return int(fields.get(b"entries-added") or fields.get(b"length") or 0)
