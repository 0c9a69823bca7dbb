"""All figures of a running system at one moment, and how fast it goes, told by two such moments.

Nothing is stored for this: what a subscription has finished is what its streams ever got, less what it has still to do.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from router.catalogue import Catalogue
from router.store import Store
from workers.former import all_streams
from workers.liveness import live_consumers
from workers.oldest import Way, oldest_waiting
from workers.overview import StreamOverview, overview
from workers.pausing import Pause, paused

__all__ = ["Figures", "Rates", "Row", "figures", "rates"]


@dataclass(frozen=True, slots=True)
class Row:
    """One subscription over all its streams; `oldest` in seconds, None where nothing waits or is in hand."""

    name: str
    streams: tuple[str, ...]
    lag: int
    pending: int
    scheduled: int
    dead: int
    oldest: float | None
    workers: int
    pause: Pause | None


@dataclass(frozen=True, slots=True)
class Figures:
    """What there was at a moment (monotonic seconds)."""

    moment: float
    streams: tuple[StreamOverview, ...]
    rows: tuple[Row, ...]

    def total(self, figure: str) -> int:
        """Return the sum of a figure over the subscriptions."""
        return sum(getattr(row, figure) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Rates:
    """Events a second between two moments: into each stream, into and out of each subscription; out is done or dead."""

    streams: Mapping[str, float]
    into: Mapping[str, float]
    out: Mapping[str, float]


async def figures(store: Store, catalogue: Catalogue, lease: float) -> Figures:
    """Look at everything, in a handful of round trips; raises StoreUnavailable, or what redis-py raises."""
    moment = time.monotonic()
    found = await overview(store, await all_streams(store, catalogue))
    names = sorted({way.name for stream in found for way in stream.subscriptions})
    oldest = await oldest_waiting(store, found)
    alive = await live_consumers(store, names, lease)
    pauses = await paused(store, names)
    rows = (_row(name, found, oldest, len(alive[name]), pauses.get(name)) for name in names)
    return Figures(moment, tuple(found), tuple(rows))


def _row(
    name: str, streams: Sequence[StreamOverview], oldest: Mapping[Way, float], workers: int, pause: Pause | None
) -> Row:
    ways = {stream.stream: way for stream in streams for way in stream.subscriptions if way.name == name}
    sums = {figure: sum(getattr(way, figure) for way in ways.values()) for figure in _FIGURES}
    ages = [oldest[stream, name] for stream in ways if (stream, name) in oldest]
    return Row(name, tuple(ways), **sums, oldest=max(ages, default=None), workers=workers, pause=pause)


_FIGURES = ("lag", "pending", "scheduled", "dead")


def rates(before: Figures, now: Figures) -> Rates:
    """Return how fast it went from one moment to a later one; what went backwards, as after a flush, counts as 0."""
    seconds = max(now.moment - before.moment, 1e-6)
    added = _added(before, now)
    into = {row.name: sum(added.get(stream, 0) for stream in row.streams) for row in now.rows}
    unfinished = {row.name: row.lag + row.pending + row.scheduled for row in before.rows}
    out = {
        row.name: into[row.name] + unfinished[row.name] - (row.lag + row.pending + row.scheduled)
        for row in now.rows
        if row.name in unfinished
    }
    return Rates(*({name: max(0, number) / seconds for name, number in found.items()} for found in (added, into, out)))


def _added(before: Figures, now: Figures) -> dict[str, int]:
    """Return how many events came to each stream: by what it ever got, or else by how it has grown."""
    then = {stream.stream: stream for stream in before.streams}
    found: dict[str, int] = {}
    for stream in now.streams:
        if (old := then.get(stream.stream)) is not None:
            known = stream.added is not None and old.added is not None
            found[stream.stream] = (stream.added or 0) - (old.added or 0) if known else stream.length - old.length
    return found
