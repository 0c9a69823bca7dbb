"""When very much waits, for a handler that hangs or due at one moment: others flow, and memory stays where it was."""

import asyncio
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from support.filling import CUSTOMERS, put_events, put_many, schedule_many
from support.memory import resident
from support.waiting import eventually

from config.settings import WorkerSettings
from router.events.catalogue import Catalogue
from router.store.client import Store
from workers import Delivery, Event, Retry, RetryLater, Subscription
from workers.consuming.consumer import Consumer
from workers.metrics import WorkerMetrics

pytestmark = pytest.mark.real

BACKLOG = 100_000
RETRIES = int(os.environ.get("PILE_UP", "20000"))
"""Due at one moment; with PILE_UP=100000 and -rP, the figures for more of them."""
SUPPLIERS = CUSTOMERS.replace("customer", "supplier")
ROOM = 32
"""MiB that a worker may grow by, however much waits."""


class Bench:
    """Consumers on a real server, and what they have counted."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self.store = store
        self.catalogue = catalogue
        self.registry = CollectorRegistry()
        self._metrics = WorkerMetrics(self.registry)
        self._alive: list[Consumer] = []

    async def start(self, subscription: Subscription, name: str = "c1", **options: Any) -> Consumer:
        """Start a consumer."""
        settings = WorkerSettings(**{"lease": 60, "block": 0.2, "sweep_interval": 60, "shutdown_timeout": 1, **options})
        consumer = Consumer(subscription, name, self.store, self.catalogue, settings, self._metrics)
        self._alive.append(consumer)
        await consumer.start()
        return consumer

    async def stop(self) -> None:
        """Stop all of them."""
        await asyncio.gather(*(consumer.stop() for consumer in self._alive))

    def total(self, name: str, subscription: str) -> float:
        """Return a figure of a subscription."""
        labels = {"subscription": subscription}
        return self.registry.get_sample_value(f"event_router_{name}_total", labels) or 0.0


@pytest.fixture
async def bench(real_store: Store, catalogue: Catalogue) -> AsyncIterator[Bench]:
    """Yield a bench, and stop what runs on it."""
    found = Bench(real_store, catalogue)
    yield found
    await found.stop()


async def latency(bench: Bench, handled: Callable[[str], bool], name: str, stream: str = CUSTOMERS) -> float:
    """Append one event; return how many seconds it took until it was handled."""
    started = time.perf_counter()
    await put_events(bench.store, name, stream=stream)
    await eventually(lambda: handled(name), interval=0.002)
    return time.perf_counter() - started


async def test_a_subscription_that_hangs_holds_up_no_other_and_takes_no_memory(bench: Bench) -> None:
    """With 100,000 events behind a handler that hangs, others get theirs at once; its workers hold on to a few.

    Their hold is renewed over many leases, so neither takes over from the other; an hour by the clock changes nothing;
    and when the handler is let go, all of it is handled, each event once.
    """
    gate, counts, quick = asyncio.Event(), Counter[str](), set[str]()
    hanging = Subscription("hanging", events=[CUSTOMERS], timeout=None, concurrency=8)
    other = Subscription("other", events=[CUSTOMERS], start="latest")

    @hanging.handler
    async def hang(event: Event) -> None:
        await gate.wait()
        counts[event.id] += 1

    @other.handler
    async def handle(event: Event) -> None:
        quick.add(event.id)

    await put_many(bench.store, BACKLOG)
    before = resident()
    consumers = [await bench.start(hanging, name, lease=2) for name in ("c1", "c2")]
    await bench.start(other)
    held = [consumer.context.in_hand for consumer in consumers]
    await eventually(lambda: all(len(hands) >= 8 for hands in held))
    for number in range(30):
        await latency(bench, quick.__contains__, f"new-{number}")
    await asyncio.gather(*(beats(consumer, 8) for consumer in consumers))
    for consumer in consumers:
        consumer.context.monotonic = lambda: time.monotonic() + 3600
    await asyncio.gather(*(beats(consumer, 4) for consumer in consumers))
    assert sum(map(len, held)) <= 2 * (8 + 1000)
    assert resident() - before < ROOM
    assert bench.total("recovered", "hanging") == 0
    for consumer in consumers:  # a busy machine must not cost anybody its hold from here on
        consumer.context.settings = WorkerSettings(lease=60)
    gate.set()
    await eventually(lambda: len(counts) == BACKLOG + 30, timeout=120, interval=0.1)
    assert bench.total("recovered", "hanging") == 0
    assert set(counts.values()) == {1}
    assert resident() - before < ROOM + 16  # the ids that this test keeps


async def beats(consumer: Consumer, number: int) -> None:
    """Wait for so many heartbeats, three of which are a lease."""
    for _ in range(number):
        last = consumer._heartbeat._last
        await eventually(lambda last=last: consumer._heartbeat._last != last)


@pytest.mark.parametrize("work", [0.0, 0.01], ids=["quick", "slow"])
async def test_retries_due_at_one_moment_come_oldest_first_while_new_events_flow(bench: Bench, work: float) -> None:
    """A crowd of retries comes out spread and in its order; its inbox stays small, and new events pass it by."""
    number = RETRIES if not work else RETRIES // 10
    order: list[str] = []
    new: set[str] = set()
    crowded = Subscription("crowded", events=[CUSTOMERS], concurrency=32)

    @crowded.handler
    async def handle(event: Event) -> None:
        await asyncio.sleep(work)
        if event.id.startswith("new"):
            new.add(event.id)
        else:
            order.append(event.id)

    await schedule_many(bench.store, number, "crowded", int(time.time() * 1000) - 60_000)
    before, inbox = resident(), bench.store.keys.inbox(CUSTOMERS, "crowded")
    consumer = await bench.start(crowded)
    longest = most = 0
    times: list[float] = []
    started = time.perf_counter()
    while len(order) < number:
        times.append(await latency(bench, new.__contains__, f"new-{len(times)}"))
        longest = max(longest, await bench.store.client.xlen(inbox))
        most = max(most, len(consumer.context.in_hand))
    rate = number / (time.perf_counter() - started)
    sys.stdout.write(f"{number} retries, {rate:.0f} a second; the inbox held {longest}, the worker {most}\n")
    median, worst = statistics.median(times), max(times)
    sys.stdout.write(f"{len(times)} new ones: median {median * 1000:.0f} ms, worst {worst * 1000:.0f} ms\n")
    assert longest <= 1000
    assert most <= 32 + 1000 + 250
    assert resident() - before < ROOM
    assert len(new) > 3
    assert len(set(order)) == len(order)
    assert misplaced(order) <= 32 * 2  # as many run at once


def misplaced(order: list[str]) -> int:
    """Return by how many places the worst of them is away from where it would be in order."""
    places = {name: place for place, name in enumerate(sorted(order))}
    return max(abs(places[name] - place) for place, name in enumerate(order))


async def test_what_failed_together_comes_back_in_its_order(bench: Bench) -> None:
    """A batch that asks for the same delay comes back oldest first, also what was put off in one millisecond."""
    names = [f"n{number}" for number in range(300)]
    order: list[str] = []
    subscription = Subscription("sub", events=[CUSTOMERS], batch_size=300, batch_wait=0.2, concurrency=1)

    @subscription.handler
    async def handle(deliveries: list[Delivery]) -> list[object]:
        order.extend(delivery.event.id for delivery in deliveries if delivery.attempt > 1)
        return [RetryLater(0.5) if delivery.attempt == 1 else None for delivery in deliveries]

    await put_events(bench.store, *names[:100])
    await put_events(bench.store, *names[100:200])
    await put_events(bench.store, *names[200:])
    await bench.start(subscription)
    await eventually(lambda: len(order) == 300)
    assert order == names


async def test_a_storm_of_failures_leaves_room_for_what_is_good(bench: Bench) -> None:
    """While a thousand fail again and again, new events of the same stream and of others are handled at once."""
    handled, failed = set[str](), set[str]()
    stormy = Subscription(
        "stormy",
        events=[CUSTOMERS, SUPPLIERS],
        retry=Retry(max_attempts=1000, first_delay=0.01, max_delay=0.1),
        concurrency=16,
    )

    @stormy.handler
    async def handle(event: Event) -> None:
        if event.id.startswith("many"):
            failed.add(event.id)
            raise ValueError(event.id)
        handled.add(event.id)

    await put_many(bench.store, 1000)
    consumer = await bench.start(stormy)
    await eventually(lambda: len(failed) == 1000, timeout=60)
    before = resident()
    for number in range(20):
        stream = SUPPLIERS if number % 2 else CUSTOMERS
        await latency(bench, handled.__contains__, f"new-{number}", stream)
    assert len(consumer.context.in_hand) <= 16 + 1000 + 500
    assert resident() - before < ROOM


async def test_a_crowd_of_suspects_leaves_the_other_lanes_to_new_events(bench: Bench) -> None:
    """What a dead worker had in hand is tried one at a time; new events are handled beside it meanwhile."""
    handled: set[str] = set()
    subscription = Subscription("sub", events=[CUSTOMERS], concurrency=2)

    @subscription.handler
    async def handle(event: Event) -> None:
        await asyncio.sleep(0.02 if event.id.startswith("suspect") else 0)
        handled.add(event.id)

    inbox = bench.store.keys.inbox(CUSTOMERS, "sub")
    for number in range(300):
        fields = {"id": f"suspect-{number}", "at": 1, "raw": '{"event": "customer_changed"}', "crashes": 1}
        await bench.store.client.xadd(inbox, fields)
    await bench.start(subscription)
    for number in range(20):
        await latency(bench, handled.__contains__, f"new-{number}")
    assert sum(name.startswith("suspect") for name in handled) < 300
    await eventually(lambda: len(handled) == 320, timeout=60)
