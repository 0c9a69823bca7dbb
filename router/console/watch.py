"""The last minutes, as far as somebody looked: what the plots are drawn of."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from router.store.client import Store
from router.store.errors import is_spoilt
from router.store.reading import checked, named_values
from workers.operations.figures import Figures, rates
from workers.operations.operations import Operations

INTERVAL = 4.0
"""Seconds between two samples, at the least."""

SPAN = 600.0
"""Seconds that are remembered."""

_GAP = 4 * INTERVAL  # nobody looked: what happened meanwhile is not to be drawn as a line


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The figures at a `moment`; `retried` and `died`: how many retries and dead letters each key ever got."""

    moment: datetime
    figures: Figures
    retried: Mapping[str, int]
    died: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Flow:
    """Events a second between two samples, the later one `at` (monotonic seconds), and how many waited then.

    `out` is done or dead, as in `top`. A rate is None where it is not known.
    """

    at: float
    lag: int
    arrived: float | None = None
    out: float | None = None
    retried: float | None = None
    died: float | None = None


async def look(operations: Operations) -> Snapshot:
    """Look at everything, in a few round trips; raises StoreUnavailable."""
    store, found = operations.store, await operations.figures()
    ways = [(stream, row.name) for row in found.rows for stream in row.ways]
    retried = await _added(store, [store.keys.parked(*way) for way in ways])
    died = await _added(store, [store.keys.dead(*way) for way in ways])
    return Snapshot(datetime.now(UTC), found, retried, died)


class Watch:
    """Samples the store when somebody looks, for all who look at once."""

    def __init__(self, operations: Operations, interval: float = INTERVAL) -> None:
        self._operations = operations
        self._interval = interval
        self._taking = asyncio.Lock()
        self._last: Snapshot | None = None
        self._before: Snapshot | None = None
        self._flows: deque[Flow] = deque(maxlen=int(SPAN / INTERVAL))

    async def look(self) -> Snapshot:
        """Return a snapshot that is no older than the interval; raises StoreUnavailable."""
        async with self._taking:
            if self._last is None or time.monotonic() - self._last.figures.moment >= self._interval:
                now = await look(self._operations)
                self._before, self._last = self._last or self._before, now
                if self._before is not None:
                    self._flows.append(_between(self._before, now))
            return self._last

    def forget(self) -> None:
        """Look again next time: something was changed."""
        self._last = None

    def history(self) -> Sequence[Flow]:
        """Return the flows of the last minutes, oldest first."""
        return tuple(self._flows)

    def by_subscription(self) -> Mapping[str, float]:
        """Return how many events a second leave each subscription, done or dead; empty while that is not known."""
        return rates(self._before.figures, self._last.figures).out if self._before and self._last else {}


def _between(before: Snapshot, now: Snapshot) -> Flow:
    at, lag, seconds = now.figures.moment, now.figures.total("lag"), now.figures.moment - before.figures.moment
    if seconds > _GAP:
        return Flow(at, lag)
    found = rates(before.figures, now.figures)
    retried, died = _risen(before.retried, now.retried) / seconds, _risen(before.died, now.died) / seconds
    return Flow(at, lag, sum(found.streams.values()), sum(found.out.values()), retried, died)


def _risen(before: Mapping[str, int], now: Mapping[str, int]) -> int:
    """Return by how much the numbers have risen; one that has fallen was set back, and is not known."""
    return sum(max(0, number - before[key]) for key, number in now.items() if key in before)


async def _added(store: Store, keys: Sequence[str]) -> dict[str, int]:
    """Return how many entries each stream ever had; 0 for one that is not there."""
    replies = await store.commands([("XINFO", "STREAM", key) for key in keys])
    return {key: _number(reply) for key, reply in zip(keys, replies, strict=True)}


def _number(reply: Any) -> int:
    if isinstance(reply, BaseException):
        if is_spoilt(reply) or "no such key" in str(reply).lower():
            return 0
        checked([reply])
    fields = named_values(reply)
    return int(fields.get(b"entries-added") or fields.get(b"length") or 0)
