"""A keyed subscription that is paused: its workers hold and confirm, and its events keep coming into the lines."""

import asyncio

from support.keyed_bench import STREAM, Bench
from support.waiting import eventually

from workers import Delivery, Subscription
from workers.operations.pauses import pause, resume
from workers.state.pauses import confirmed


async def test_nothing_is_begun_in_a_pause(bench: Bench) -> None:
    """Workers give back the keys that they had not begun, confirm, and begin nothing until it is over.

    What comes meanwhile is brought into the lines, and is handled in order afterwards, each event once.
    """
    subscription = Subscription("sub", events=[STREAM], key="resource", concurrency=2)
    gate = asyncio.Event()
    begun: list[str] = []

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        begun.append(delivery.event.id)
        await gate.wait()
        await bench.handle(delivery)

    names = [f"{number}@{number % 9}" for number in range(27)]
    await bench.publish(*names)
    workers = [await bench.start(subscription, name, block=5) for name in ("c1", "c2")]
    await eventually(lambda: len(begun) == 4)
    made = await pause(bench.store, "sub", None, by="ann")

    async def halted() -> bool:
        return await confirmed(bench.store, "sub", made) >= {"c1", "c2"}

    await eventually(halted)
    assert all(worker.pause for worker in workers)
    gate.set()
    await bench.all_handled(4)
    await bench.publish("27@0", "28@1")
    await eventually(lambda: bench.lines_hold("sub", 25))
    await eventually(lambda: all(not worker.context.in_hand for worker in workers))
    assert len(begun) == 4
    assert "running" not in await bench.lines(subscription)
    await resume(bench.store, "sub", by="ann")
    await bench.all_handled(29)
    for customer in range(9):
        own = [int(id_) for id_ in bench.handled if int(id_) % 9 == customer]
        assert own == sorted(own)
    assert len(bench.handled) == 29
    await bench.emptied(subscription)


async def test_a_worker_that_starts_in_a_pause_begins_nothing(bench: Bench) -> None:
    """A worker that starts while its subscription is paused is ready, brings events and handles none of them."""
    subscription = Subscription("sub", events=[STREAM], key="resource")
    subscription.handler(bench.handle)
    await pause(bench.store, "sub", None, by="ann")
    worker = await bench.start(subscription)
    assert worker.ready
    await bench.publish("a1", "a2")
    await eventually(lambda: bench.lines_hold("sub", 2))
    assert not bench.handled
    await resume(bench.store, "sub", by="ann")
    await bench.all_handled(2)
