"""The last minutes, as far as somebody looked: what the plots are drawn of."""

import asyncio
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from router.console.counters import Snapshot, look
from router.events.catalogue import Catalogue
from router.store.client import Store

__all__ = ["INTERVAL", "SPAN", "Rates", "Watch"]

_Place = TypeVar("_Place", bound=Hashable)

INTERVAL = 4.0
"""Seconds between two samples, at the least."""

SPAN = 600.0
"""Seconds that are remembered."""

_GAP = 4 * INTERVAL  # nobody looked: what happened meanwhile is not to be drawn as a line


@dataclass(frozen=True, slots=True)
class Rates:
    """Events a second between two samples, the later one `at` (monotonic seconds), and how many waited then.

    A rate is None where it is not known.
    """

    at: float
    arrived: float | None
    done: float | None
    retried: float | None
    died: float | None
    lag: int


class Watch:
    """Samples the store when somebody looks, for all who look at once."""

    def __init__(self, store: Store, catalogue: Catalogue, lease: float, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._store, self._catalogue, self._lease = store, catalogue, lease
        self._taking = asyncio.Lock()
        self._last: Snapshot | None = None
        self._before: Snapshot | None = None
        self._rates: deque[Rates] = deque(maxlen=int(SPAN / INTERVAL))

    async def look(self) -> Snapshot:
        """Return a snapshot that is no older than the interval; raises StoreUnavailable."""
        async with self._taking:
            clock = asyncio.get_running_loop().time
            if self._last is None or clock() - self._last.at >= self._interval:
                self._note(await look(self._store, self._catalogue, self._lease))
            assert self._last is not None
            return self._last

    def forget(self) -> None:
        """Look again next time: something was changed."""
        self._last = None

    def history(self) -> Sequence[Rates]:
        """Return the rates of the last minutes, oldest first."""
        return tuple(self._rates)

    def by_subscription(self) -> Mapping[str, float]:
        """Return how many deliveries a second each subscription finishes; empty while that is not known."""
        if self._before is None or self._last is None:
            return {}
        done = _risen(self._before.done(), self._last.done())
        seconds = self._last.at - self._before.at
        rates: dict[str, float] = {}
        for (_, name), number in done.items():
            rates[name] = rates.get(name, 0.0) + number / seconds
        return rates

    def _note(self, now: Snapshot) -> None:
        last = self._last or self._before
        self._before, self._last = last, now
        if last is not None:
            self._rates.append(_between(last, now))


def _between(before: Snapshot, now: Snapshot) -> Rates:
    lag = now.figures.total("lag")
    seconds = now.at - before.at
    if seconds > _GAP:
        return Rates(now.at, None, None, None, None, lag)

    def rate(before: Mapping[_Place, int], now: Mapping[_Place, int]) -> float:
        return sum(_risen(before, now).values()) / seconds

    return Rates(
        now.at,
        rate(before.arrived, now.arrived),
        rate(before.done(), now.done()),
        rate(before.retried, now.retried),
        rate(before.died, now.died),
        lag,
    )


def _risen(before: Mapping[_Place, int], now: Mapping[_Place, int]) -> dict[_Place, int]:
    """Return by how much each number has risen; one that has fallen was set back, and is not known."""
    return {place: max(0, number - before[place]) for place, number in now.items() if place in before}
