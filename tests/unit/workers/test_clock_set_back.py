"""A server whose clock was ahead and is set back, or that takes over from one whose clock was: nothing waits for that.

What such a server has written is written here as it would have: scores and numbers that lie ten minutes ahead.
"""

import asyncio
import contextlib
import time
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from support.waiting import eventually

from config.settings import WorkerSettings
from router.events.catalogue import Catalogue
from router.store import scripts
from router.store.client import Store
from workers import Subscription
from workers.consuming.context import Context
from workers.consuming.schedule import Schedule
from workers.metrics import WorkerMetrics
from workers.operations.pauses import pause
from workers.state.groups import live_consumers
from workers.state.pauses import paused

AHEAD = 600_000
GROUP = "sub"
STREAM = "visma-net-financial/customer_changed"


class Place:
    """The keys of one subscription, filled by a clock that was ahead."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.client: Any = store.client
        self.consumers = store.keys.consumers(GROUP)
        self.due, self.parked = store.keys.due(STREAM, GROUP), store.keys.parked(STREAM, GROUP)
        self.inbox = store.keys.inbox(STREAM, GROUP)

    async def now(self) -> int:
        """Return the server's time in milliseconds."""
        seconds, micros = await self.client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    async def park(self, delay: int, *, ahead: int = AHEAD, number: int = 0) -> str:
        """Park a retry as a server whose clock is ahead does it; return its number."""
        at = await self.now() + ahead
        entry = f"{at}-{number}"
        await self.client.xadd(self.parked, {"delay": delay, "id": f"n{number}", "raw": "{}"}, entry)
        await self.client.zadd(self.due, {entry: at + delay})
        return entry

    async def wait(self, entry: str) -> float:
        """Return in how many milliseconds a retry is due."""
        return float(await self.client.zscore(self.due, entry)) - await self.now()

    async def promote(self) -> list[int]:
        """Promote what is due."""
        reply: list[int] = await self.store.call(scripts.promote(self.due, self.parked, self.inbox, 1000))
        return reply

    async def reschedule(self) -> int:
        """Look at all pages; return how many there were."""
        pages, start = 1, ""
        while last := await self.store.call(scripts.reschedule(self.due, self.parked, start)):
            pages, start = pages + 1, f"({last.decode()}"
        return pages


@pytest.fixture
def place(store: Store) -> Place:
    """Return the keys of a subscription."""
    return Place(store)


async def test_a_beat_from_the_future_counts_as_one_of_now(place: Place) -> None:
    """A consumer that died while the clock was ahead is found dead a lease after the clock was set back, and once."""
    await place.client.zadd(place.consumers, {"dead": await place.now() + AHEAD})

    async def judged() -> bool:
        return b"dead" in await place.store.call(scripts.beat(place.consumers, "c1", 200))

    assert not await judged()
    await eventually(judged)
    assert not await judged()


async def test_a_beat_that_asks_nobody_sets_the_future_right_too(place: Place) -> None:
    """Also a consumer that may not judge yet writes down what it sees, so that the lease begins."""
    await place.client.zadd(place.consumers, {"dead": await place.now() + AHEAD})
    await place.store.call(scripts.beat(place.consumers, "c1", 60_000, judge=False))
    assert await place.client.zscore(place.consumers, "dead") <= await place.now()


async def test_whoever_asks_who_lives_is_not_misled_for_long(place: Place) -> None:
    """Without any consumer that beats, one whose beat is from the future is said to live for a lease and no longer."""
    await place.client.zadd(place.consumers, {"dead": await place.now() + AHEAD})
    assert await live_consumers(place.store, [GROUP], 60) == {GROUP: ["dead"]}

    async def nobody() -> bool:
        return await live_consumers(place.store, [GROUP], 0.1) == {GROUP: []}

    await eventually(nobody)


async def test_a_retry_waits_for_its_delay_and_no_longer(place: Place) -> None:
    """A retry that was parked while the clock was ahead is due within its delay from when that is noticed."""
    entry = await place.park(5000)
    moved, wait, ahead = await place.promote()
    assert (moved, ahead) == (0, 1)
    assert wait > AHEAD
    await place.reschedule()
    assert 0 < await place.wait(entry) <= 5000


async def test_a_long_delay_is_not_cut_however_often_it_is_looked_at(place: Place) -> None:
    """A retry whose delay is longer than the clock was ahead is not brought nearer with every look."""
    entry = await place.park(900_000)
    for _ in range(5):
        await place.reschedule()
    assert 890_000 < await place.wait(entry) <= 900_000


async def test_retries_of_a_right_clock_are_left_alone(place: Place) -> None:
    """What was parked by the present clock keeps its due time, and asks for nothing."""
    entry = await place.park(5000, ahead=-60_000)
    before = await place.client.zscore(place.due, entry)
    assert len(await place.promote()) == 2
    await place.reschedule()
    assert await place.client.zscore(place.due, entry) in (before, None)


async def test_all_pages_are_looked_at(place: Place) -> None:
    """Many retries are all brought nearer, a hundred in each call, and stay in their order."""
    at = await place.now() + AHEAD
    entries = [f"{at}-{number}" for number in range(250)]
    for number, entry in enumerate(entries):
        await place.client.xadd(place.parked, {"delay": 1000, "id": f"n{number}"}, entry)
        await place.client.zadd(place.due, {entry: at + 1000 + number / 1000})
    assert await place.reschedule() == 3
    assert [name.decode() for name in await place.client.zrange(place.due, 0, -1)] == entries
    assert await place.wait(entries[-1]) < 1001


async def test_a_retry_that_is_gone_stays_gone(place: Place) -> None:
    """A body without a due time, which a removal in the middle leaves, is not scheduled by a look at it."""
    entry = await place.park(5000)
    await place.client.zrem(place.due, entry)
    await place.reschedule()
    assert await place.client.zscore(place.due, entry) is None


async def test_the_delay_goes_no_further_than_the_schedule(place: Place) -> None:
    """What is kept to notice a clock is none of the event's fields: the inbox has those alone."""
    at = await place.now()
    await place.client.xadd(place.parked, {"delay": 1, "id": "a", "raw": "{}"}, f"{at - 10}-0")
    await place.client.zadd(place.due, {f"{at - 10}-0": at - 9})
    await place.promote()
    [(_, fields)] = await place.client.xrange(place.inbox)
    assert fields == {b"id": b"a", b"raw": b"{}"}


async def test_a_worker_brings_its_retries_nearer(place: Place, catalogue: Catalogue) -> None:
    """The schedule of a worker finds out by itself, also where others have parked what is ahead."""
    entry = await place.park(50)
    subscription = Subscription(GROUP, events=[STREAM])
    metrics = WorkerMetrics(CollectorRegistry())
    context = Context(
        subscription, (STREAM,), "c1", place.store, catalogue, WorkerSettings(), metrics, monotonic=time.monotonic
    )
    running = asyncio.create_task(Schedule(context).run())
    try:

        async def moved() -> bool:
            return bool(await place.client.xlen(place.inbox) == 1)

        await eventually(moved)
        assert await place.client.zscore(place.due, entry) is None
    finally:
        while not running.done():
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([running], timeout=0.05)


async def test_a_pause_lasts_no_longer_than_was_said(place: Place) -> None:
    """A pause of a minute, begun while the clock was ahead by ten, is over a minute from now: the store's key too."""
    await pause(place.store, GROUP, 60, by="ann")
    key = place.store.keys.pause(GROUP)
    await place.client.pexpire(key, 60_000 + AHEAD)
    found = (await paused(place.store, [GROUP]))[GROUP]
    assert found.seconds_left is not None
    assert 50 < found.seconds_left <= 60
    assert 50_000 < await place.client.pttl(key) <= 60_000


@pytest.mark.parametrize("kept", ["0", "", "x", "9" * 5000])
async def test_a_pause_of_an_earlier_version_or_edited_manually(place: Place, kept: str) -> None:
    """One that does not say how long it was to last lasts as the store keeps it."""
    key = place.store.keys.pause(GROUP)
    await place.client.xadd(key, {"verb": "pause", "by": "ann", "reason": "", "for": kept})
    await place.client.pexpire(key, 100_000)
    found = (await paused(place.store, [GROUP]))[GROUP]
    assert found.seconds_left is not None
    assert 90 < found.seconds_left <= 100
