"""Going through many things in batches, no faster than asked for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from router.tasks.ending import set_within

T = TypeVar("T")

_STEPS = 10  # how often a second a change that keeps to a rate goes on
_MAX_BYTES = 4 * 1024 * 1024  # of one batch


class Pacer:
    """Lets through `rate` items a second, None for no limit; one that waits goes on once `stop` is set.

    The time of each item is counted from the first one, so that what sleeping too long loses is made up for.
    """

    def __init__(self, rate: float | None, stop: asyncio.Event | None = None) -> None:
        self._rate = rate
        self._stop = stop or asyncio.Event()
        self._started: float | None = None
        self._taken = 0

    async def take(self, count: int) -> None:
        """Wait until `count` more items may go."""
        if self._rate is None:
            return
        now = asyncio.get_running_loop().time()
        if self._started is None:
            self._started = now
        due = self._started + self._taken / self._rate
        self._taken += count
        if due > now:
            await set_within(due - now, self._stop)


async def batches(
    items: AsyncIterator[T],
    rate: float | None = None,
    stop: asyncio.Event | None = None,
    *,
    most: int,
    size_of: Callable[[T], int] = lambda _: 0,
) -> AsyncIterator[list[T]]:
    """Yield the items in batches, each when it may go; `rate` is items a second, None for no limit.

    A batch has `most` items, fewer where a rate has to be kept, or where their sizes (bytes) add up to 4 MiB.
    """
    pacer = Pacer(rate, stop)
    most = most if rate is None else max(1, min(most, int(rate / _STEPS)))
    batch: list[T] = []
    size = 0
    async for item in items:
        batch.append(item)
        size += size_of(item)
        if len(batch) == most or size > _MAX_BYTES:
            await pacer.take(len(batch))
            yield batch
            batch, size = [], 0
    if batch:
        await pacer.take(len(batch))
        yield batch
