"""Ending tasks for certain, and work that is not ended half-way: `router/ending.py`."""

import asyncio

import pytest

from router.ending import end, whole


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
    async with asyncio.timeout(30):
        await end(tasks)
    assert all(task.done() for task in tasks)
    assert isinstance(tasks[2].exception(), ValueError)


async def test_work_is_finished_however_often_its_caller_is_cancelled() -> None:
    """Who waits for it ends when the work has, and as one who was cancelled."""
    begun, go_on, done = asyncio.Event(), asyncio.Event(), list[str]()

    async def work() -> None:
        begun.set()
        await go_on.wait()
        done.append("whole")

    caller = asyncio.create_task(whole(work()))
    await begun.wait()
    for _ in range(3):
        caller.cancel()
        await asyncio.sleep(0)
    assert not caller.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done == ["whole"]


async def test_what_work_comes_to_is_told() -> None:
    """Its result, or its error, is that of the call."""

    async def fails() -> None:
        raise ValueError("of the work")

    async def returns() -> int:
        return 7

    assert await whole(returns()) == 7
    with pytest.raises(ValueError, match="of the work"):
        await whole(fails())
