"""Deferred events: later, and not an attempt; on the fake store and on a real server, with and without keys."""

import json
import time
from collections import Counter
from typing import Any

import pytest
from support.keyed_bench import CALM, STREAM, Bench
from support.waiting import eventually

from router.store import scripts
from workers import Defer, Delivery, Event, Retry, Subscription

ONCE = Retry(max_attempts=1)
"""The first failure would be the last."""

KINDS: dict[str, dict[str, Any]] = {"unkeyed": {}, "keyed": {"key": "resource"}, "per company": {"per_company": 2}}


@pytest.fixture(params=KINDS, ids=str)
def kind(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the options of a kind of subscription."""
    return KINDS[request.param]


class Deferring:
    """A handler that defers each event so often before it handles it."""

    def __init__(self, bench: Bench, times: int, seconds: float = 0.0) -> None:
        self.bench = bench
        self.times = times
        self.seconds = seconds
        self.seen: Counter[str] = Counter()
        self.deliveries: list[Delivery] = []

    async def handle(self, delivery: Delivery) -> None:
        """Defer, or handle."""
        self.deliveries.append(delivery)
        self.seen[delivery.event.id] += 1
        if self.seen[delivery.event.id] <= self.times:
            raise Defer(self.seconds, "the quota is used up")
        await self.bench.handle(delivery)


async def test_a_deferral_uses_up_no_attempt(bench: Bench, kind: dict[str, Any]) -> None:
    """An event that may be attempted once is deferred three times and then done; each time it is its first attempt."""
    subscription = Subscription("sub", events=[STREAM], retry=ONCE, **kind)
    handler = Deferring(bench, times=3)
    subscription.handler(handler.handle)
    await bench.publish("a")
    await bench.start(subscription)
    await bench.all_handled(1)
    assert [delivery.attempt for delivery in handler.deliveries] == [1] * 4
    assert [delivery.deferred for delivery in handler.deliveries] == [0, 1, 2, 3]
    assert [delivery.errors for delivery in handler.deliveries] == [()] * 4
    await eventually(lambda: bench.count(subscription, "done") == 1)
    assert bench.count(subscription, "deferred") == 3
    assert bench.count(subscription, "retried") == bench.count(subscription, "dead") == 0


async def test_a_deferral_ends_with_its_age(bench: Bench, kind: dict[str, Any]) -> None:
    """Once an event has been deferred for `defer_max`, it is dead, and the letter says why; a replay begins anew."""
    subscription = Subscription("sub", events=[STREAM], retry=ONCE, defer_max=0.3, **kind)
    handler = Deferring(bench, times=1_000)
    subscription.handler(handler.handle)
    await bench.publish("a")
    await bench.start(subscription)
    await eventually(lambda: bench.count(subscription, "dead") == 1)
    letter = (await bench.dead(subscription))["a"]
    assert letter["reason"] == "deferred for longer than defer_max allows: the quota is used up"
    assert "attempts" not in letter
    assert json.loads(letter["deferred"])[0] == bench.count(subscription, "deferred") >= 1
    handler.times = 0
    dead, inbox = bench.keys.dead(STREAM, "sub"), bench.keys.inbox(STREAM, "sub")
    [(entry_id, _)] = await bench.client.xrange(dead)
    assert await bench.store.call(scripts.replay(dead, inbox, [entry_id], "{}")) == 1
    await bench.all_handled(1)
    assert handler.deliveries[-1].deferred == 0


async def test_a_deferred_event_is_due_when_its_handler_said(bench: Bench, kind: dict[str, Any]) -> None:
    """The event waits in the store for just so long, in nobody's hands, and outlives its worker."""
    subscription = Subscription("sub", events=[STREAM], retry=ONCE, **kind)
    handler = Deferring(bench, times=1, seconds=3_600)
    subscription.handler(handler.handle)
    await bench.publish("a")
    consumer = await bench.start(subscription)
    await eventually(lambda: bench.count(subscription, "deferred") == 1)
    due = (await bench.lines(subscription))["due"] if kind else None
    scheduled = due or dict(await bench.client.zrange(bench.keys.due(STREAM, "sub"), 0, -1, withscores=True))
    [at] = scheduled.values()
    assert at == pytest.approx(time.time() * 1000 + 3_600_000, abs=60_000)
    await bench.stop(consumer)
    assert bench.count(subscription, "returned") == 0


async def test_a_deferred_event_keeps_the_order_of_its_key(bench: Bench) -> None:
    """The key of a deferred event waits for it, whatever comes after; other keys go on."""
    subscription = Subscription("sub", events=[STREAM], retry=ONCE, key="resource")

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        if delivery.event.id == "a1" and delivery.deferred < 3:
            raise Defer(0.1)
        await bench.handle(delivery)

    await bench.publish("a1@a", "a2@a", "b1@b", "b2@b")
    await bench.start(subscription)
    await bench.all_handled(4)
    assert bench.handled == ["b1", "b2", "a1", "a2"]
    assert not bench.overlaps


async def test_some_of_a_batch_are_deferred(bench: Bench) -> None:
    """A batch handler says for each event what becomes of it; the deferred come again in batches."""
    calls: list[list[str]] = []
    subscription = Subscription("sub", events=[STREAM], retry=ONCE, concurrency=1, batch_size=10, batch_wait=0.2)

    @subscription.handler
    async def sync(deliveries: list[Delivery]) -> list[Any]:
        calls.append([delivery.event.id for delivery in deliveries])
        later = ("a", "c")
        return [Defer(0.1) if d.event.id in later and not d.deferred else None for d in deliveries]

    await bench.publish("a", "b", "c")
    await bench.start(subscription)
    await eventually(lambda: bench.count(subscription, "done") == 3)
    assert bench.count(subscription, "deferred") == 2
    assert calls == [["a", "b", "c"], ["a", "c"]]


async def test_a_whole_batch_is_deferred(bench: Bench) -> None:
    """One that is raised defers all events of the batch."""
    subscription = Subscription("sub", events=[STREAM], retry=ONCE, concurrency=1, batch_size=10, batch_wait=0.2)
    times = Counter[int]()

    @subscription.handler
    async def sync(events: list[Event]) -> None:
        times[len(events)] += 1
        if sum(times.values()) == 1:
            raise Defer(0.1)

    await bench.publish("a", "b", "c")
    await bench.start(subscription)
    await eventually(lambda: bench.count(subscription, "done") == 3)
    assert bench.count(subscription, "deferred") == 3


async def test_a_failure_after_a_deferral_is_the_first_attempt(bench: Bench, kind: dict[str, Any]) -> None:
    """What fails after it was deferred is tried again as if it had not been, and is deferred again after that."""
    retry = Retry(max_attempts=2, first_delay=0.05, max_delay=0.05)
    subscription = Subscription("sub", events=[STREAM], retry=retry, **kind)
    seen: list[tuple[int, int]] = []

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        seen.append((delivery.attempt, delivery.deferred))
        if len(seen) in (1, 3):
            raise Defer(0)
        if len(seen) == 2:
            raise ValueError("x")

    await bench.publish("a")
    await bench.start(subscription)
    await eventually(lambda: bench.count(subscription, "done") == 1)
    assert seen == [(1, 0), (1, 1), (2, 1), (2, 2)]


async def test_a_deferral_outlives_a_worker_that_is_killed(bench: Bench, kind: dict[str, Any]) -> None:
    """Another worker hands the event over when it is due, and knows how often it was deferred."""
    subscription = Subscription("sub", events=[STREAM], retry=ONCE, **kind)
    handler = Deferring(bench, times=1, seconds=0.3)
    subscription.handler(handler.handle)
    await bench.publish("a")
    consumer = await bench.start(subscription, lease=CALM)
    await eventually(lambda: bench.count(subscription, "deferred") == 1)
    await bench.kill(consumer)
    await bench.start(subscription, "c2")
    await bench.all_handled(1)
    assert [delivery.deferred for delivery in handler.deliveries] == [0, 1]
