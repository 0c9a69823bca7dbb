"""A subscription that is given a key, or loses it, takes along what is not finished."""

import asyncio
from typing import Any

from support.keyed_bench import SHORT, STREAM, Bench
from support.waiting import eventually

from workers import Delivery, Retry, RetryLater, Subscription

PATIENT = Retry(max_attempts=9, first_delay=0.05, max_delay=0.05)


class Gate:
    """A handler that waits until it may end, and notes who began and who ended what."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.later: set[str] = set()
        self.attempts: dict[str, int] = {}
        self.open = asyncio.Event()

    async def handle(self, delivery: Delivery) -> None:
        """Handle an event, once the gate is open."""
        id_ = delivery.event.id
        self.begun.append(id_)
        self.attempts[id_] = delivery.attempt
        if id_ in self.later:
            raise RetryLater(3600)
        await self.open.wait()
        self.ended.append(id_)

    def subscription(self, **options: Any) -> Subscription:
        """Return a subscription with this handler."""
        subscription = Subscription("sub", events=[STREAM], retry=PATIENT, **options)
        subscription.handler(self.handle)
        return subscription


async def test_what_dead_unkeyed_workers_had_comes_into_the_lines(bench: Bench) -> None:
    """What was in hand, new or from the inbox, with a worker that was killed is handled in the lines."""
    before, after = Gate(), Gate()
    after.open.set()
    await bench.publish("a1@a", "a2@a", "b1@b")
    dying = await bench.start(before.subscription(), "old", lease=SHORT)
    await eventually(lambda: len(before.begun) == 3)
    await bench.kill(dying)
    again = await bench.start(before.subscription(), "older", lease=SHORT)
    await eventually(lambda: len(before.begun) == 4)  # suspects run one by one
    await bench.kill(again)
    await bench.publish("a3@a")
    keyed = after.subscription(key="resource")
    await bench.start(keyed, "new", lease=SHORT)
    await eventually(lambda: len(after.ended) == 4)
    assert set(after.ended) == {"a1", "a2", "a3", "b1"}
    await bench.emptied(keyed)


async def test_what_a_live_unkeyed_worker_has_stays_with_it(bench: Bench) -> None:
    """What an unkeyed worker that lives has in hand, new or from the inbox, is not handled a second time."""
    before, after = Gate(), Gate()
    after.open.set()
    await bench.publish("a1@a", "b1@b")
    old = await bench.start(before.subscription(concurrency=1), "old")
    await eventually(lambda: len(before.begun) == 1)
    await bench.stop(old)  # gives both back, into the inbox
    await bench.publish("c1@c")
    live = await bench.start(before.subscription(concurrency=3), "live")
    await eventually(lambda: len(before.begun) == 4)
    keyed = after.subscription(key="resource")
    await bench.start(keyed, "new")
    await bench.publish("d1@d")
    await eventually(lambda: after.ended == ["d1"])
    before.open.set()
    await eventually(lambda: len(before.ended) == 3)
    await eventually(lambda: not live.context.in_hand)
    await bench.emptied(keyed)
    assert after.ended == ["d1"]
    assert sorted(before.ended) == ["a1", "b1", "c1"]


async def test_what_was_scheduled_comes_into_the_lines(bench: Bench) -> None:
    """A retry that an unkeyed worker has put off is handled in the lines when it is due, with its attempts."""
    before, after = Gate(), Gate()
    after.open.set()
    before.later = {"a1"}
    await bench.publish("a1@a")
    old = await bench.start(before.subscription(), "old")
    await eventually(lambda: bench.count(before.subscription(), "retried") == 1)
    await bench.stop(old)
    keyed = after.subscription(key="resource")
    await bench.start(keyed, "new", sweep_interval=SHORT)
    await bench.publish("a2@a")
    await eventually(lambda: after.ended == ["a2"])
    due = bench.keys.due(STREAM, "sub")
    (entry,) = await bench.client.zrange(due, 0, -1)
    await bench.client.zadd(due, {entry: 1})
    await eventually(lambda: after.ended == ["a2", "a1"])
    assert after.attempts["a1"] == 2
    await bench.emptied(keyed)
