"""All figures of a running system at one moment, and how fast it goes between two such moments.

Nothing is stored for this: what a subscription has finished is what its streams ever got, less what it has still to do.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from router.events.catalogue import Catalogue
from router.store.client import Store
from workers.state.breakers import BreakerState, breakers
from workers.state.companies import Companies, paused_companies
from workers.state.filters import Filter, filters
from workers.state.former import all_streams
from workers.state.groups import live_consumers
from workers.state.key_counts import KeyCounts, key_counts
from workers.state.oldest import Way, oldest_waiting
from workers.state.overview import StreamOverview, SubscriptionOverview, overview
from workers.state.pauses import Pause, paused


@dataclass(frozen=True, slots=True)
class Row:
    """One subscription: how far it is with each of its streams, by their names, and the `workers` that live.

    `oldest` is for how long the oldest event has waited or is in hand, seconds; None where there is none. `keys` are
    those of a keyed subscription, `companies` those of which nothing is handled. `filter` is what says which events it
    skips, and how many that were by stream.
    """

    name: str
    ways: Mapping[str, SubscriptionOverview]
    oldest: float | None = None
    workers: tuple[str, ...] = ()
    pause: Pause | None = None
    keys: KeyCounts | None = None
    filter: Filter | None = None
    companies: Companies = field(default_factory=dict)

    @property
    def skipped(self) -> int:
        """How many events its filter has ever skipped."""
        return sum(self.filter.skipped.values()) if self.filter else 0

    def total(self, figure: str) -> int:
        """Return the sum of a figure over the streams."""
        return sum(getattr(way, figure) for way in self.ways.values())

    @property
    def is_of_workers(self) -> bool:
        """Whether a worker ever ran for it; else it is the group of another program, which gives no sign of life."""
        return any(way.has_inbox for way in self.ways.values())

    @property
    def unfinished(self) -> int:
        """How many events are on their way to it."""
        return self.total("unfinished")


@dataclass(frozen=True, slots=True)
class Figures:
    """What there was at a moment (monotonic seconds), the subscriptions and breakers in order of name.

    oldest: for how long the oldest event waits or is in hand, seconds. ready: the oldest that no key holds up.
    """

    moment: float
    streams: tuple[StreamOverview, ...]
    rows: tuple[Row, ...]
    oldest: Mapping[Way, float] = field(default_factory=dict)
    breakers: tuple[BreakerState, ...] = ()
    ready: Mapping[Way, float] = field(default_factory=dict)

    @property
    def down(self) -> tuple[BreakerState, ...]:
        """The breakers that are open."""
        return tuple(breaker for breaker in self.breakers if breaker.is_open)

    def total(self, figure: str) -> int:
        """Return the sum of a figure over the subscriptions."""
        return sum(row.total(figure) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Rates:
    """Events a second between two moments: into each stream, into and out of each subscription; out is done or dead."""

    streams: Mapping[str, float]
    into: Mapping[str, float]
    out: Mapping[str, float]


async def figures(store: Store, catalogue: Catalogue, lease: float) -> Figures:
    """Look at everything, in a handful of round trips; raises StoreUnavailable."""
    moment = time.monotonic()
    found = await overview(store, await all_streams(store, catalogue))
    ways = _by_name(found)
    waits = await oldest_waiting(store, found)
    oldest = {way: each.oldest for way, each in waits.items()}
    ready = {way: each.ready for way, each in waits.items() if each.ready is not None}
    workers = await live_consumers(store, list(ways), lease)
    pauses = await paused(store, list(ways))
    keys = await key_counts(store, list(ways))
    filtered = await filters(store, list(ways))
    companies = await paused_companies(store, list(keys))
    rows = (
        Row(
            *(name, ways[name], _longest(oldest, name), tuple(workers[name])),
            *(pauses.get(name), keys.get(name), filtered.get(name), companies.get(name, {})),
        )
        for name in ways
    )
    return Figures(moment, tuple(found), tuple(rows), oldest, await breakers(store), ready)


def _by_name(streams: Sequence[StreamOverview]) -> dict[str, dict[str, SubscriptionOverview]]:
    ways: dict[str, dict[str, SubscriptionOverview]] = {}
    for stream in streams:
        for way in stream.subscriptions:
            ways.setdefault(way.name, {})[stream.stream] = way
    return dict(sorted(ways.items()))


def _longest(oldest: Mapping[Way, float], name: str) -> float | None:
    return max((seconds for (_, subscription), seconds in oldest.items() if subscription == name), default=None)


def rates(before: Figures, now: Figures) -> Rates:
    """Return how fast it went from one moment to a later one; what went backwards, as after a flush, counts as 0."""
    seconds = max(now.moment - before.moment, 1e-6)
    added = _added(before, now)
    into = {row.name: sum(added.get(stream, 0) for stream in row.ways) for row in now.rows}
    unfinished = {row.name: row.unfinished for row in before.rows}
    out = {
        row.name: into[row.name] + unfinished[row.name] - row.unfinished for row in now.rows if row.name in unfinished
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
