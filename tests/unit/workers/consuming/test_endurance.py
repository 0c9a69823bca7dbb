"""What a consumer must outlive: outages of the store, handlers that hang or raise the unexpected, workers that died."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.exceptions import ConnectionError as RedisConnectionError
from support.filling import CUSTOMERS, put_events
from support.waiting import eventually

from config.settings import WorkerSettings
from router.events.catalogue import Catalogue
from router.store.client import Store
from workers import Event, Retry, RetryLater, Subscription
from workers.consuming.consumer import Consumer
from workers.consuming.heartbeat import Heartbeat
from workers.metrics import WorkerMetrics

Start = Callable[..., Any]


@pytest.fixture
async def start(store: Store, catalogue: Catalogue) -> AsyncIterator[Start]:
    """Yield a function that starts a consumer of one stream; all are stopped at the end."""
    started: list[Consumer] = []

    async def begin(handler: Callable[..., Any], name: str = "c1", *, lease: float = 60.0, **options: Any) -> Consumer:
        quick = Retry(max_attempts=3, first_delay=0.01, max_delay=0.02)
        subscription = Subscription("sub", events=[CUSTOMERS], **{"retry": quick, **options})
        subscription.handler(handler)
        settings = WorkerSettings(lease=lease, block=0.1, sweep_interval=60, shutdown_timeout=0.2)
        consumer = Consumer(subscription, name, store, catalogue, settings, WorkerMetrics(CollectorRegistry()))
        started.append(consumer)
        await consumer.start()
        return consumer

    yield begin
    await asyncio.gather(*(consumer.stop() for consumer in started))


async def dead(store: Store) -> list[str]:
    """Return the ids of the dead letters."""
    client: Any = store.client
    return [fields[b"id"].decode() for _, fields in await client.xrange(store.keys.dead(CUSTOMERS, "sub"))]


async def test_after_an_outage_nobody_is_judged_until_all_could_beat(start: Start, store: Store) -> None:
    """Who comes back first after an outage does not take the others for dead: they could not beat either."""

    async def handle(_event: Event) -> None: ...

    consumer = await start(handle, lease=30)
    client: Any = store.client
    key = store.keys.consumers("sub")
    now = [1000.0]
    consumer.context.monotonic = lambda: now[0]
    beating = Heartbeat(consumer.context, consumer._sweeper.recover)
    await beating.beat()
    await client.zadd(key, {"other": 1})  # silent since 1970: the store was away for all of us
    assert await beating.beat() == []
    now[0] += 29
    assert await beating.beat() == []
    now[0] += 2
    assert await beating.beat() == ["other"]
    now[0] += 31  # we were frozen ourselves
    await client.zadd(key, {"other": 1})
    assert await beating.beat() == []


async def test_a_failed_beat_begins_the_wait_anew(start: Start, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A beat the store refused (down, or out of memory) counts as a gap."""

    async def handle(_event: Event) -> None: ...

    consumer = await start(handle, lease=30)
    now = [1000.0]
    consumer.context.monotonic = lambda: now[0]
    beating = Heartbeat(consumer.context, consumer._sweeper.recover)
    await beating.beat()
    now[0] += 20

    async def away(_call: Any) -> None:
        raise RedisConnectionError("away")

    with monkeypatch.context() as patch:
        patch.setattr(store, "call", away)
        with pytest.raises(RedisConnectionError):
            await beating.beat()
    client: Any = store.client
    await client.zadd(store.keys.consumers("sub"), {"other": 1})
    now[0] += 20
    assert await beating.beat() == []


class Forgetful(RetryLater):
    """A subclass that does not call its super's constructor."""

    def __init__(self) -> None:
        """Forget the delay."""


@pytest.mark.parametrize("error", [KeyboardInterrupt, Forgetful, SystemExit, GeneratorExit, StopIteration])
@pytest.mark.parametrize("threaded", [False, True])
async def test_no_exception_ends_a_lane(
    start: Start, store: Store, error: type[BaseException], *, threaded: bool
) -> None:
    """Whatever a handler raises is a failed attempt: the event is dead after `max_attempts`, the lane goes on."""
    calls: Counter[str] = Counter()

    def handle(event: Event) -> None:
        calls[event.id] += 1
        if event.id == "poison":
            raise error

    async def handle_async(event: Event) -> None:
        handle(event)

    await start(handle if threaded else handle_async, concurrency=1)
    await put_events(store, "poison", "good")
    await eventually(lambda: calls["good"] == 1)

    async def poison_is_dead() -> bool:
        return await dead(store) == ["poison"]

    await eventually(poison_is_dead)
    assert calls["poison"] == 3


async def test_a_fault_of_ours_counts_as_an_attempt(
    start: Start, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If settling itself breaks on one event, that event fails and the lane goes on."""
    handled: list[str] = []

    async def handle(event: Event) -> None:
        handled.append(event.id)

    consumer = await start(handle, concurrency=1, retry=Retry(max_attempts=1))
    original = consumer._settler.settle

    def settle(held: Any, outcome: Any, error: BaseException | None = None) -> None:
        if held.event_id == "odd" and error is None:
            raise RuntimeError("broken")
        original(held, outcome, error)

    monkeypatch.setattr(consumer._settler, "settle", settle)
    await put_events(store, "odd", "good")
    await eventually(lambda: "good" in handled)

    async def odd_is_dead() -> bool:
        return await dead(store) == ["odd"]

    await eventually(odd_is_dead)


async def test_threads_that_hang_take_no_place_from_others(start: Start, store: Store) -> None:
    """A plain function that never returns costs its own event its attempts, and no other event anything."""
    release = threading.Event()
    handled: list[str] = []

    def handle(event: Event) -> None:
        if event.id.startswith("hang"):
            release.wait(20)
        handled.append(event.id)

    await start(handle, concurrency=2, timeout=0.1, retry=Retry(max_attempts=4, first_delay=0, max_delay=0))
    await put_events(store, "hang1", "hang2")

    async def both_dead() -> bool:
        return sorted(await dead(store)) == ["hang1", "hang2"]

    try:
        await eventually(both_dead)
        good = [f"good{number}" for number in range(10)]
        await put_events(store, *good)
        await eventually(lambda: set(good) <= set(handled))  # one may be over its time here, and is handled again
        assert len(await dead(store)) == 2
    finally:
        release.set()


async def test_a_free_lane_does_not_wait_for_busy_ones(start: Start, store: Store) -> None:
    """An event is read as soon as one lane is free, however long the others are busy."""
    gate = asyncio.Event()
    handled: list[str] = []

    async def handle(event: Event) -> None:
        if event.id.startswith("long"):
            await gate.wait()
        handled.append(event.id)

    consumer = await start(handle, concurrency=4, timeout=None)
    await put_events(store, "long1", "long2", "long3")
    await eventually(lambda: len(consumer.context.in_hand) == 3)
    consumer._readers[0]._rate = 0.0
    for name in ("quick1", "quick2", "quick3"):
        await put_events(store, name)
        await eventually(lambda name=name: name in handled)
    gate.set()


async def test_a_handler_that_swallows_its_cancellation_holds_up_nothing(start: Start, store: Store) -> None:
    """It is cancelled again after each further time-out; a stop ends all the same, and says that it still runs."""
    release = asyncio.Event()
    cancelled: list[float] = []

    async def handle(_event: Event) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                cancelled.append(time.monotonic())

    consumer = await start(handle, concurrency=1, timeout=0.05)
    await put_events(store, "a")
    await eventually(lambda: len(cancelled) >= 3)
    async with asyncio.timeout(30):
        await consumer.stop()
    assert consumer.stuck
    release.set()
    with suppress(asyncio.CancelledError):
        await asyncio.wait(consumer._executor.tasks, timeout=5)


async def test_a_suspicion_does_not_cost_an_attempt(start: Start, store: Store) -> None:
    """What a dead worker had in hand and may never have started gets a run, even with one attempt allowed."""
    handled: list[str] = []

    async def handle(event: Event) -> None:
        handled.append(event.id)

    client: Any = store.client
    inbox = store.keys.inbox(CUSTOMERS, "sub")
    fields = {"id": "innocent", "at": 1, "raw": '{"event": "customer_changed"}'}
    await client.xadd(inbox, {**fields, "crashes": 1, "history": ""})
    await client.xadd(inbox, {**fields, "id": "guilty", "crashes": 2, "history": ""})
    await start(handle, retry=Retry(max_attempts=1))
    await eventually(lambda: handled == ["innocent"])

    async def guilty_is_dead() -> bool:
        return await dead(store) == ["guilty"]

    await eventually(guilty_is_dead)
    assert handled == ["innocent"]
