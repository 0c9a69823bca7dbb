"""Going through what comes one after the other: the first few of it, or as much as comes in time."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")


async def first(items: AsyncIterator[T], limit: int | None) -> AsyncGenerator[T, None]:
    """Yield the first `limit` items, None for all, and close the rest."""
    if limit == 0:
        return
    async with aclosing(items) as kept:  # type: ignore[type-var]
        number = 0
        async for item in kept:
            yield item
            number += 1
            if number == limit:
                return


async def unhurried(items: AsyncIterator[T], patience: float | None) -> AsyncGenerator[T, None]:
    """Yield items; raises TimeoutError after so many seconds, also where they come without the loop having a turn."""
    clock = asyncio.get_running_loop().time
    until = None if patience is None else clock() + patience
    async with aclosing(items) as kept:  # type: ignore[type-var]
        async for item in kept:
            yield item
            if until is not None and clock() > until:
                raise TimeoutError
