"""Retention and keyed subscriptions: what waits in the lines needs its stream no more, and is never removed."""

import asyncio
import json
import time

from support.keyed_bench import STREAM, Bench
from support.waiting import eventually

from config.settings import RetentionSettings, Settings
from workers import Delivery, Subscription
from workers.operations.removal import Removal
from workers.retention.round import Retention

DAY = 86_400


async def add_old(bench: Bench, *names: str) -> None:
    """Append events that are past retention."""
    for number, name in enumerate(names):
        raw = json.dumps({"event": "customer_changed", "notificationId": name, "resourceUri": "v1/customer/a"})
        millis = int((time.time() - 30 * DAY) * 1000) + number
        fields = {"id": name, "at": str(millis), "raw": raw}
        await bench.client.xadd(bench.keys.events(STREAM), fields, id=f"{millis}-0")


async def retain(bench: Bench) -> int:
    """Do a round of retention; return how many events the stream has afterwards."""
    stopping = asyncio.Event()
    await Retention(bench.store, bench.catalogue, RetentionSettings(), bench.metrics, stopping).round()
    return int(await bench.client.xlen(bench.keys.events(STREAM)))


async def test_what_waits_in_the_lines_outlives_its_stream(bench: Bench) -> None:
    """Old events that wait behind a running one are trimmed from the stream and handled all the same, in order."""
    gate = asyncio.Event()
    subscription = Subscription("sub", events=[STREAM], key="resource")

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        await gate.wait()
        await bench.handle(delivery)

    await add_old(bench, *map(str, range(10)))
    worker = await bench.start(subscription)
    await eventually(lambda: bench.lines_hold("sub", 10))

    async def trimmed() -> bool:
        return await retain(bench) == 0  # as soon as the group has moved on

    await eventually(trimmed)
    await retain(bench)
    assert await bench.lines_hold("sub", 10)
    gate.set()
    await bench.all_handled(10)
    assert [int(id_) for id_ in bench.handled] == list(range(10))
    await bench.stop(worker)
    await bench.emptied(subscription)


async def test_what_is_not_in_the_lines_is_not_trimmed(bench: Bench) -> None:
    """Old events that came while no worker of the subscription ran stay in the stream until one has brought them."""
    subscription = Subscription("sub", events=[STREAM], key="resource")
    subscription.handler(bench.handle)
    await bench.stop(await bench.start(subscription))
    await add_old(bench, "0", "1", "2")
    assert await retain(bench) == 3
    await bench.start(subscription)
    await bench.all_handled(3)


async def test_a_subscription_that_is_made_again_is_given_all_again(bench: Bench) -> None:
    """A keyed subscription that was removed and is started again gets every event of its stream, as others do."""
    subscription = Subscription("sub", events=[STREAM], key="resource")
    subscription.handler(bench.handle)
    await bench.publish("a1@a", "a2@a")
    worker = await bench.start(subscription)
    await bench.all_handled(2)
    await bench.emptied(subscription)
    await bench.stop(worker)
    await Removal(bench.store, bench.catalogue, Settings(), "sub").run()
    assert await bench.lines(subscription) == {}
    await bench.start(subscription)
    await bench.all_handled(4)
    assert bench.handled == ["a1", "a2", "a1", "a2"]
