"""Ending tasks for certain: `router/ending.py`."""

import asyncio

from router.ending import end


async def test_a_task_that_loses_its_cancellation_is_cancelled_again() -> None:
    """It is ended all the same, and so are those that end at once, in an error, or have ended before."""

    async def loses(times: int) -> None:
        for _ in range(times):
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                continue
        await asyncio.sleep(30)

    async def fails() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            raise ValueError

    async def returns() -> None:
        pass

    tasks = [asyncio.create_task(work) for work in (loses(0), loses(2), fails(), returns())]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await end(tasks)
    assert all(task.done() for task in tasks)
    assert isinstance(tasks[2].exception(), ValueError)
