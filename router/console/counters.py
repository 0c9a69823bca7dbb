"""What the store holds at one moment, and what has passed through it so far.

An event is, for a subscription, in one place at a time. So what has come into a stream, less what waits, is in hand, is
scheduled or is dead, is done, except a number that does not change; and of two moments only the difference matters.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import is_spoilt
from router.store.reading import checked
from workers.operations.figures import Figures, figures
from workers.state.oldest import Way

__all__ = ["Snapshot", "look"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The store at one moment: `at` on the monotonic clock (seconds) and `moment` by the calendar.

    `arrived` counts what has come into each stream, `retried` and `died` what was scheduled again or given up, ever.
    """

    at: float
    moment: datetime
    figures: Figures
    arrived: Mapping[str, int]
    retried: Mapping[Way, int]
    died: Mapping[Way, int]

    def done(self) -> dict[Way, int]:
        """Return for each subscription on a stream what is done; only differences of it mean something."""
        return {
            (stream, row.name): self.arrived[stream] - way.lag - way.pending - way.scheduled - way.dead
            for row in self.figures.rows
            for stream, way in row.ways.items()
        }


async def look(store: Store, catalogue: Catalogue, lease: float) -> Snapshot:
    """Look at everything, in a few round trips; raises StoreUnavailable."""
    found = await figures(store, catalogue, lease)
    names = [stream.stream for stream in found.streams if stream.length or stream.subscriptions]
    ways = [(stream, row.name) for row in found.rows for stream in row.ways]
    keys = [*(store.keys.events(name) for name in names), *(store.keys.parked(*way) for way in ways)]
    keys += [store.keys.dead(*way) for way in ways]
    added = [_added(reply) for reply in await store.commands([("XINFO", "STREAM", key) for key in keys])]
    first, second = len(names), len(names) + len(ways)
    return Snapshot(
        at=time.monotonic(),
        moment=datetime.now(UTC),
        figures=found,
        arrived=dict(zip(names, added[:first], strict=True)),
        retried=dict(zip(ways, added[first:second], strict=True)),
        died=dict(zip(ways, added[second:], strict=True)),
    )


def _added(reply: Any) -> int:
    """Return how many entries a stream ever had; 0 for one that is not there."""
    if isinstance(reply, BaseException):
        if is_spoilt(reply) or "no such key" in str(reply).lower():
            return 0
        checked([reply])
    fields = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
    return int(fields.get(b"entries-added") or fields.get(b"length") or 0)
