"""Ending tasks for certain, and work that is not ended half-way: `router/tasks/ending.py`."""

import asyncio
import re
from pathlib import Path

import pytest

from router.store.client import Store
from router.tasks.ending import end, in_time, set_within, whole


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


async def test_work_that_takes_too_long_is_ended_though_it_loses_cancellations() -> None:
    """Its caller learns that the time was up, and by then nothing of it runs any more."""
    ended = asyncio.Event()

    async def loses() -> None:
        try:
            for _ in range(3):
                try:
                    await asyncio.sleep(30)
                except asyncio.CancelledError:
                    continue
            await asyncio.sleep(30)
        finally:
            ended.set()

    async with asyncio.timeout(10):
        with pytest.raises(TimeoutError):
            await in_time(0.01, loses())
    assert ended.is_set()


async def test_work_in_time_is_what_it_comes_to() -> None:
    """Its result or error is that of the call; one that is late says what it had; with its caller it is cancelled."""

    async def fails() -> None:
        raise ValueError

    async def three() -> int:
        return 3

    assert await in_time(10, three()) == 3
    with pytest.raises(ValueError):  # noqa: PT011 - it is ours
        await in_time(10, fails())
    with pytest.raises(TimeoutError, match=r"^no answer within 0\.01 s$"):
        await in_time(0.01, asyncio.Event().wait())
    hold, ended = asyncio.Event(), asyncio.Event()

    async def holds() -> None:
        try:
            hold.set()
            await asyncio.sleep(30)
        finally:
            ended.set()

    caller = asyncio.create_task(in_time(30, holds()))
    await hold.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended.is_set()


async def test_no_expiry_is_lost_among_reads_of_the_store(store: Store) -> None:
    """However the end of the time falls among commands and replies, the reading ends: not once of many it goes on."""
    key = store.keys.events("p/t")
    for _ in range(40):
        await store.client.xadd(key, {"raw": "x" * 2000})

    async def reads() -> None:
        while True:
            await store.commands([("XRANGE", key, "-", "+")])

    for number in range(60):
        async with asyncio.timeout(5):
            with pytest.raises(TimeoutError):
                await in_time(0.002 + number * 0.0001, reads())


async def test_an_event_is_waited_for_no_longer_than_said() -> None:
    """Whether it is set in time is what comes back; one that is set already is not waited for, without a limit too."""
    event = asyncio.Event()
    assert not await set_within(0.001, event)
    asyncio.get_running_loop().call_soon(event.set)
    assert await set_within(None, event)
    assert await set_within(0, event)


async def test_the_first_event_ends_the_waiting() -> None:
    """One of several is enough, and no task is left that waits for the others."""
    early, late = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().call_soon(early.set)
    before = asyncio.all_tasks()
    assert await set_within(None, late, early)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


WAITS_FOR_EVENTS_ALONE = {
    "router/tasks/ending.py": "explains why, and waits for events",
    "router/embedded/socket.py": "asks by a socket of its own",
    "router/embedded/process.py": "waits for a process",
    "router/console/turns.py": "waits for a semaphore",
    "workers/outgoing/outgoing.py": "waits for a receiver",
    "workers/notify/mail_channel.py": "waits for a mail server",
    "workers/testing.py": "waits for a handler, whose business it is",
}
"""The modules that may use what cancels once only, and why: none of them waits for redis-py by it."""


def test_who_asks_the_store_uses_what_loses_no_expiry() -> None:
    """`asyncio.timeout` and `wait_for` stand only where no reading of the store is waited for."""
    root = Path(__file__).parents[4]
    paths = [path for folder in ("router", "workers") for path in (root / folder).rglob("*.py")]
    found = {
        str(path.relative_to(root))
        for path in paths
        if re.search(r"asyncio\.(timeout|timeout_at|wait_for)\b", path.read_text())
    }
    assert found == WAITS_FOR_EVENTS_ALONE.keys()
