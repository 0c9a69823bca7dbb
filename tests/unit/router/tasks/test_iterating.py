"""Going through what comes one after the other."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from router.tasks.iterating import first, unhurried


class Numbers:
    """Yields the numbers from 0 on, counts them, and notes that it was closed."""

    def __init__(self) -> None:
        self.read = 0
        self.is_closed = False

    async def __call__(self) -> AsyncIterator[int]:
        """Yield a thousand."""
        try:
            for number in range(1000):
                self.read += 1
                yield number
        finally:
            self.is_closed = True


@pytest.mark.parametrize(("limit", "expected"), [(0, 0), (1, 1), (3, 3), (None, 1000), (2000, 1000)])
async def test_the_first_few(limit: int | None, expected: int) -> None:
    """No more is read than is asked for, and what it is read from is closed."""
    numbers = Numbers()
    assert [number async for number in first(numbers(), limit)] == list(range(expected))
    assert (numbers.read, numbers.is_closed) == (expected, limit != 0)


async def test_what_takes_too_long() -> None:
    """It ends after so many seconds, also where the loop has no turn in between; without them it ends itself."""
    with pytest.raises(TimeoutError):
        async for _ in unhurried(Numbers()(), 0.0):
            pass
    assert len([number async for number in unhurried(Numbers()(), None)]) == 1000
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
