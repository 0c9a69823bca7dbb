"""Going through many things in batches, no faster than asked for."""

from collections.abc import AsyncIterator
from typing import TypeVar

from router.cli.changes.pacer import Pacer
from router.store.scripts import BATCH

__all__ = ["batch_size", "batches"]

T = TypeVar("T")

_STEPS = 10  # how often a second a change that keeps to a rate goes on


def batch_size(rate: float | None) -> int:
    """Return how many are changed in one go: fewer where a rate (a second) has to be kept."""
    return BATCH if rate is None else max(1, min(BATCH, int(rate / _STEPS)))


async def batches(items: AsyncIterator[T], rate: float | None = None) -> AsyncIterator[list[T]]:
    """Yield the items in batches, each when it may go; `rate` is items a second, None for no limit."""
    pacer, size = Pacer(rate), batch_size(rate)
    batch: list[T] = []
    async for item in items:
        batch.append(item)
        if len(batch) == size:
            await pacer.take(size)
            yield batch
            batch = []
    if batch:
        await pacer.take(len(batch))
        yield batch
