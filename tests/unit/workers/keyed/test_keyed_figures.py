"""What is told of a keyed subscription counts what is in its lines."""

import asyncio
import time

import pytest
from support.keyed_bench import SLUG, STREAM, Bench
from support.waiting import eventually

from workers import Delivery, RetryLater, Subscription
from workers.state.key_counts import key_counts
from workers.state.oldest import oldest_waiting
from workers.state.overview import SubscriptionOverview, holdings, overview

OTHER = f"{SLUG}/customer_created"


async def test_each_figure_counts_what_is_in_the_lines(bench: Bench) -> None:
    """Lag has what waits in the lines, in hand what runs, scheduled what is due later, each by its stream."""
    subscription = Subscription("sub", events=[STREAM, OTHER], key="resource", concurrency=8)
    going: set[str] = set()
    gate = asyncio.Event()

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        if delivery.event.id.startswith("later"):
            raise RetryLater(3600)
        going.add(delivery.event.id)
        await gate.wait()

    await bench.publish("later1@l", "later2@l", "later3@m")
    await bench.publish("later4@n", stream=OTHER)
    await bench.start(subscription)
    await eventually(lambda: bench.count(subscription, "retried") == 3)
    await bench.publish("a1@a", "a2@a", "c1@c")
    await bench.publish("a3@a", "b1@b", stream=OTHER)
    await eventually(lambda: bench.lines_hold("sub", 9))
    await eventually(lambda: going == {"a1", "b1", "c1"})
    found = {seen.stream: seen.subscriptions[0] for seen in await overview(bench.store, [STREAM, OTHER])}
    assert found[STREAM] == SubscriptionOverview("sub", 2, 2, 2, 0)
    assert found[OTHER] == SubscriptionOverview("sub", 1, 1, 1, 0)
    held = {holding.stream: holding for holding in await holdings(bench.store, [STREAM, OTHER], "sub")}
    assert (held[STREAM].waiting, held[STREAM].inbox, held[STREAM].scheduled) == (4, 0, 2)
    seen = await overview(bench.store, [STREAM, OTHER])
    oldest = await oldest_waiting(bench.store, seen, clock=lambda: time.time() + 100)
    assert 100 <= oldest[STREAM, "sub"].oldest < 160
    assert oldest[STREAM, "sub"].ready is not None
    gate.set()
    await eventually(lambda: bench.lines_hold("sub", 4))


async def test_what_is_finished_is_in_no_figure(bench: Bench) -> None:
    """Once all is handled, nothing is counted."""
    subscription = Subscription("sub", events=[STREAM], key="resource")
    subscription.handler(bench.handle)
    await bench.publish(*(f"{number}@{number % 3}" for number in range(30)))
    await bench.start(subscription)
    await bench.emptied(subscription)
    await bench.all_handled(30)
    (seen,) = await overview(bench.store, [STREAM])
    assert seen.subscriptions == (SubscriptionOverview("sub", 0, 0, 0, 0),)


async def test_looking_makes_no_lines(bench: Bench) -> None:
    """A look at the figures of a subscription without a key leaves none of the keys of lines behind."""
    subscription = Subscription("plain", events=[STREAM])
    subscription.handler(bench.handle)
    await bench.publish("a1")
    await bench.start(subscription)
    await bench.all_handled(1)
    await overview(bench.store, [STREAM])
    await key_counts(bench.store, ["plain"])
    assert not await bench.client.exists(*bench.keys.lines("plain"))


async def test_so_many_retries_are_looked_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With several streams, retries beyond those that are looked up count as lag; with one stream all are known."""
    monkeypatch.setattr("workers.state.in_lines._LOOKED_AT", 2)
    subscription = Subscription("sub", events=[STREAM, OTHER], key="resource")

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        raise RetryLater(3600)

    await bench.publish("a", "b", "c")
    await bench.start(subscription)
    await eventually(lambda: bench.count(subscription, "retried") == 3)
    (seen,) = await overview(bench.store, [STREAM])
    assert seen.subscriptions == (SubscriptionOverview("sub", 0, 0, 3, 0),)
    await bench.publish("d", stream=OTHER)
    await eventually(lambda: bench.count(subscription, "retried") == 4)
    ways = [seen.subscriptions[0] for seen in await overview(bench.store, [STREAM, OTHER])]
    assert (sum(way.scheduled for way in ways), sum(way.lag for way in ways)) == (2, 2)
