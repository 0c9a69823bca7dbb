"""A keyed subscription that is paused: its workers hold and confirm, and its events keep coming into the lines."""

import asyncio
from typing import Any

import pytest
from support.keyed_bench import STREAM, Bench
from support.waiting import eventually

from router.store.lines import Lines
from router.store.read_connection import ReadConnection
from workers import Delivery, Subscription
from workers.keyed.line_reader import LineReader
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


async def test_a_wait_that_cannot_be_ended_ends_for_a_pause(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the right to end a read, an idle worker holds when that read ends, and confirms the pause."""

    async def ignored(_connection: ReadConnection) -> None:
        """End nothing."""

    monkeypatch.setattr(ReadConnection, "unblock", ignored)
    monkeypatch.setattr("workers.keyed.line_reader._LONGEST", 0.3)
    subscription = Subscription("sub", events=[STREAM], key="resource")
    subscription.handler(bench.handle)
    worker = await bench.start(subscription, "c1")
    made = await pause(bench.store, "sub", None, by="ann")

    async def halted() -> bool:
        return await confirmed(bench.store, "sub", made) >= {"c1"}

    await eventually(halted, timeout=10)
    assert worker.pause
    await resume(bench.store, "sub", by="ann")
    await bench.publish("a@a")
    await bench.all_handled(1)


async def test_an_idle_worker_asks_little(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the lines are empty nothing is claimed: the end of a wait asks only whether they still are."""
    monkeypatch.setattr("workers.keyed.line_reader._LONGEST", 0.1)
    subscription = Subscription("sub", events=[STREAM], key="resource")
    subscription.handler(bench.handle)
    claims, looks = [0], [0]
    claim, has_something = Lines.claim, LineReader._has_something

    def counted(self: Lines, *args: Any, **options: Any) -> Any:
        claims[0] += 1
        return claim(self, *args, **options)

    async def looked(self: LineReader) -> bool:
        looks[0] += 1
        return await has_something(self)

    monkeypatch.setattr(Lines, "claim", counted)
    monkeypatch.setattr(LineReader, "_has_something", looked)
    await bench.start(subscription)
    await eventually(lambda: looks[0] > 1)
    before, seen = claims[0], looks[0]
    await eventually(lambda: looks[0] > seen + 4)
    assert claims[0] == before
    await bench.publish("a@a")
    await bench.all_handled(1)
