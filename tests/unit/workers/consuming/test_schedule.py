"""The schedule of retries."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.exceptions import ConnectionError as RedisConnectionError
from support.waiting import eventually

from config.settings import WorkerSettings
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.keys import Keys
from router.store.scripts import Call
from workers import Subscription
from workers.consuming.context import Context
from workers.consuming.schedule import Schedule
from workers.metrics import WorkerMetrics

FIRST, SECOND = "visma-net-financial/customer_changed", "visma-net-financial/supplier_changed"


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


class Answers:
    """A store that answers promotions with what a test says, and can be held up."""

    def __init__(self) -> None:
        self.keys = Keys("x")
        self.asked: list[list[str]] = []
        self.replies: dict[str, Any] = {}
        self.open = asyncio.Event()
        self.open.set()

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """Answer."""
        streams = [call.keys[0][3:].partition("}")[0] for call in calls]
        self.asked.append(streams)
        await asyncio.sleep(0)
        await self.open.wait()
        return [self.replies.get(stream, [0, -1]) for stream in streams]


def context_of(store: Any, catalogue: Catalogue, clock: Any = time.monotonic) -> Context:
    """Return a context over two streams."""
    subscription = Subscription("sub", events=[FIRST, SECOND])
    metrics = WorkerMetrics(CollectorRegistry())
    return Context(subscription, (FIRST, SECOND), "c1", store, catalogue, WorkerSettings(), metrics, monotonic=clock)


@asynccontextmanager
async def running(schedule: Schedule) -> AsyncIterator["asyncio.Task[None]"]:
    """Run a schedule."""
    task = asyncio.create_task(schedule.run())
    try:
        yield task
    finally:
        while not task.done():  # on Python 3.11 the store's client swallows a cancellation now and then
            task.cancel()
            await asyncio.wait([task], timeout=0.05)


async def turns() -> None:
    """Let every task go on as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def answers() -> Answers:
    """Return a store that answers."""
    return Answers()


async def test_it_looks_everywhere_first_and_then_sleeps(answers: Answers, catalogue: Catalogue) -> None:
    """At the start each stream is asked about once; with nothing scheduled nothing is asked any more."""
    schedule = Schedule(context_of(answers, catalogue))
    async with running(schedule):
        await eventually(lambda: answers.asked)
        await turns()
    assert answers.asked == [[FIRST, SECOND]]


async def test_it_asks_when_a_retry_is_due_and_not_before(answers: Answers, catalogue: Catalogue) -> None:
    """The store's answer says when to ask again, and of which stream."""
    clock = Clock()
    schedule = Schedule(context_of(answers, catalogue, clock))
    answers.replies[SECOND] = [0, 20]
    async with running(schedule):
        await eventually(lambda: len(answers.asked) == 1)
        await turns()
        assert answers.asked == [[FIRST, SECOND]]
        answers.replies.clear()
        clock.now += 0.02
        await eventually(lambda: len(answers.asked) == 2)
    assert answers.asked[1] == [SECOND]


async def test_a_retry_that_was_scheduled_wakes_it(answers: Answers, catalogue: Catalogue) -> None:
    """A retry noted while it sleeps is asked for when due; one due later than what is known changes nothing."""
    clock = Clock()
    schedule = Schedule(context_of(answers, catalogue, clock))
    async with running(schedule):
        await eventually(lambda: len(answers.asked) == 1)
        await turns()
        schedule.scheduled(FIRST, 50)
        schedule.scheduled(FIRST, 5000)
        schedule.scheduled(SECOND, 0)
        await eventually(lambda: len(answers.asked) == 2)
        await turns()
        assert answers.asked[1:] == [[SECOND]]
        clock.now += 51
        schedule.scheduled(SECOND, 60)  # wakes it to look at the clock
        await eventually(lambda: len(answers.asked) == 3)
    assert answers.asked[2] == [FIRST]


async def test_a_retry_scheduled_while_the_store_answers_is_not_forgotten(
    answers: Answers, catalogue: Catalogue
) -> None:
    """An answer that is older than a retry must not say that there is none."""
    clock = Clock()
    schedule = Schedule(context_of(answers, catalogue, clock))
    answers.open.clear()
    async with running(schedule):
        await eventually(lambda: len(answers.asked) == 1)
        schedule.scheduled(FIRST, 10)
        answers.open.set()
        await turns()
        assert schedule.watching
        clock.now += 10
        schedule.scheduled(SECOND, 60)
        await eventually(lambda: len(answers.asked) == 2)
    assert answers.asked[1] == [FIRST]


async def test_a_full_inbox_is_looked_at_again_soon(answers: Answers, catalogue: Catalogue) -> None:
    """A retry that found no room waits a moment, without asking all the time."""
    clock = Clock()
    schedule = Schedule(context_of(answers, catalogue, clock))
    answers.replies[FIRST] = [0, -2]
    async with running(schedule):
        await eventually(lambda: len(answers.asked) == 1)
        await turns()
        assert len(answers.asked) == 1
        assert 0 < min(schedule._due.values()) - clock.now <= 1


async def test_more_than_one_call_can_move_is_moved_at_once(answers: Answers, catalogue: Catalogue) -> None:
    """When the store says that more is due now, it is asked again without waiting."""
    schedule = Schedule(context_of(answers, catalogue, Clock()))
    answers.replies[FIRST] = [100, 0]
    async with running(schedule):
        await eventually(lambda: len(answers.asked) >= 3)
        answers.replies.clear()
    assert answers.asked[1:3] == [[FIRST], [FIRST]]


async def test_a_store_that_is_away_is_asked_again(answers: Answers, catalogue: Catalogue) -> None:
    """What failed stays due, what did not is not asked again."""
    schedule = Schedule(context_of(answers, catalogue))
    answers.replies[FIRST] = RedisConnectionError("away")
    async with running(schedule):
        await eventually(lambda: len(answers.asked) >= 3)
        answers.replies.clear()
        await eventually(lambda: not schedule.watching)
    assert answers.asked[0] == [FIRST, SECOND]
    assert all(asked == [FIRST] for asked in answers.asked[1:])


async def test_what_is_due_reaches_the_inbox(store: Store, catalogue: Catalogue) -> None:
    """On a store: a due retry is moved, and the schedule knows when the next one is due."""
    context = context_of(store, catalogue)
    keys, client = store.keys, store.client
    now = time.time() * 1000
    for name, due in {"now": now - 1000, "later": now + 60_000}.items():
        parked = await client.xadd(keys.parked(FIRST, "sub"), {"id": name})
        await client.zadd(keys.due(FIRST, "sub"), {parked: due})
    schedule = Schedule(context)
    async with running(schedule):
        await eventually(lambda: schedule._due.get(FIRST, 0) > time.monotonic() + 30)
    assert [fields for _, fields in await client.xrange(keys.inbox(FIRST, "sub"))] == [{b"id": b"now"}]
    assert FIRST in schedule._due
    assert SECOND not in schedule._due
