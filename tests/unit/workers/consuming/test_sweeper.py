"""Taking over from consumers that died."""

import asyncio
import time
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.exceptions import ConnectionError as RedisConnectionError
from support.waiting import eventually

from config.settings import WorkerSettings
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import StoreRefused, StoreUnavailable
from router.store.scripts import BATCH
from workers import Subscription
from workers.consuming.context import Context
from workers.consuming.sweeper import Sweeper, forget
from workers.metrics import WorkerMetrics

FIRST, SECOND = "visma-net-financial/customer_changed", "visma-net-financial/supplier_changed"


async def end(task: "asyncio.Task[Any]") -> None:
    """End a task for sure: on Python 3.11 the store's client swallows a cancellation now and then."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.05)


class Bench:
    """A sweeper over a store, and consumers that hold something."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self.client: Any = store.client
        self.keys = store.keys
        self.store = store
        self.registry = CollectorRegistry()
        subscription = Subscription("sub", events=[FIRST, SECOND])
        settings = WorkerSettings(lease=0.3, sweep_interval=0.05)
        metrics = WorkerMetrics(self.registry)
        self.context = Context(subscription, (FIRST, SECOND), "c1", store, catalogue, settings, metrics)
        self.told = 0
        self.sweeper = Sweeper(self.context, self._tell)

    def _tell(self) -> None:
        self.told += 1

    async def hold(self, consumer: str, number: int, stream: str = FIRST, *, inbox: bool = False) -> list[bytes]:
        """Let a consumer hold some entries, which it was given long ago."""
        await self.context.ensure_groups()
        key = self.context.keys.source(stream, self.context.group, inbox=inbox)
        ids = [await self.client.xadd(key, {"id": f"{consumer}-{n}"}) for n in range(number)]
        await self.client.execute_command("XREADGROUP", "GROUP", "sub", consumer, "COUNT", number, "STREAMS", key, ">")
        await self.client.xclaim(key, "sub", consumer, 0, ids, idle=60_000, justid=True)
        return ids

    async def inbox(self, stream: str = FIRST) -> list[bytes]:
        """Return the names of what is in an inbox."""
        return [fields[b"id"] for _, fields in await self.client.xrange(self.keys.inbox(stream, "sub"))]

    async def consumers(self, stream: str = FIRST) -> set[bytes]:
        """Return the consumers of a stream's group."""
        return {row["name"] for row in await self.client.xinfo_consumers(self.keys.events(stream), "sub")}

    def value(self, name: str) -> float:
        """Return a metric."""
        return self.registry.get_sample_value(name, {"subscription": "sub"}) or 0.0


@pytest.fixture
def bench(store: Store, catalogue: Catalogue) -> Bench:
    """Return a bench."""
    return Bench(store, catalogue)


async def test_all_that_a_dead_consumer_held_goes_to_the_inboxes(bench: Bench) -> None:
    """More than one call can move, of several streams and inboxes; then nothing is left of the consumer."""
    await bench.hold("dead", BATCH + 5)
    await bench.hold("dead", 2, SECOND)
    await bench.hold("dead", 3, SECOND, inbox=True)
    await bench.client.zadd(bench.keys.consumers("sub"), {"dead": 1, "c1": time.time() * 1000})
    await bench.sweeper.recover("dead")
    assert len(await bench.inbox()) == BATCH + 5
    assert len(await bench.inbox(SECOND)) == 5
    assert await bench.consumers() == await bench.consumers(SECOND) == set()
    assert await bench.client.zrange(bench.keys.consumers("sub"), 0, -1) == [b"c1"]
    assert bench.value("event_router_recovered_total") == BATCH + 10
    assert bench.told == 1


async def test_what_others_hold_stays_with_them(bench: Bench) -> None:
    """Only the dead consumer's deliveries are moved."""
    await bench.hold("dead", 1)
    await bench.hold("c2", 2)
    await bench.sweeper.recover("dead")
    assert await bench.inbox() == [b"dead-0"]
    assert await bench.consumers() == {b"c2"}


async def test_a_consumer_that_still_holds_something_is_not_forgotten(bench: Bench) -> None:
    """What is not idle for long enough stays, and so does its consumer, to be looked at again."""
    ids = await bench.hold("slow", 2)
    await bench.client.xclaim(bench.keys.events(FIRST), "sub", "slow", 0, ids[:1], justid=True)
    await bench.client.zadd(bench.keys.consumers("sub"), {"slow": 1})
    await bench.sweeper.recover("slow", idle=30_000)
    assert await bench.inbox() == [b"slow-1"]
    assert await bench.consumers() == {b"slow"}
    assert await bench.client.zrange(bench.keys.consumers("sub"), 0, -1) == [b"slow"]
    assert not await forget(bench.context, "slow")


async def test_entries_that_somebody_deleted_are_counted(bench: Bench) -> None:
    """A pending entry that is gone from its stream is loss, and is shown."""
    ids = await bench.hold("dead", 3)
    await bench.client.xdel(bench.keys.events(FIRST), ids[1])
    await bench.sweeper.recover("dead")
    assert await bench.inbox() == [b"dead-0", b"dead-2"]
    assert bench.value("event_router_gone_total") == 1
    assert bench.value("event_router_recovered_total") == 2


async def test_a_missing_group_holds_up_no_other_stream(bench: Bench) -> None:
    """A stream that was flushed has nothing to recover; the others are recovered."""
    await bench.hold("dead", 1)
    await bench.hold("dead", 1, SECOND)
    await bench.client.delete(bench.keys.events(FIRST))
    assert await bench.sweeper.orphans() == ["dead"]
    await bench.sweeper.recover("dead")
    assert await bench.inbox(SECOND) == [b"dead-0"]


async def test_orphans_are_those_without_a_heartbeat(bench: Bench) -> None:
    """A consumer that holds something is an orphan unless it beats, or is this one."""
    assert await bench.sweeper.orphans() == []
    for consumer in ("alive", "dead", "c1"):
        await bench.hold(consumer, 1)
    await bench.hold("also dead", 1, SECOND, inbox=True)
    await bench.client.zadd(bench.keys.consumers("sub"), {"alive": time.time() * 1000})
    assert sorted(await bench.sweeper.orphans()) == ["also dead", "dead"]


async def test_consumers_that_hold_nothing_leave_their_groups(bench: Bench) -> None:
    """Who has no heartbeat, holds nothing and did nothing for a lease is gone; who beats stays, however idle it is."""
    await bench.context.ensure_groups()
    for consumer in ("alive", "gone", "c1"):
        for stream in (FIRST, SECOND):
            key = bench.keys.events(stream)
            await bench.client.execute_command("XGROUP", "CREATECONSUMER", key, "sub", consumer)
    await bench.client.zadd(bench.keys.consumers("sub"), {"alive": 1})
    bench.context.settings = WorkerSettings(lease=60)
    assert await bench.sweeper.orphans() == []
    bench.context.settings = WorkerSettings(lease=0.001, sweep_interval=0.01)

    async def found() -> bool:
        return await bench.sweeper.orphans() == ["gone"]

    await eventually(found)
    task = asyncio.create_task(bench.sweeper.run())

    async def left() -> bool:
        return await bench.consumers() == await bench.consumers(SECOND) == {b"alive", b"c1"}

    await eventually(left)
    await end(task)
    assert bench.value("event_router_recovered_total") == 0


async def test_who_joins_meanwhile_is_no_orphan(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer that gives its first heartbeat and reads while the groups are looked at lives."""
    original = bench.store.commands

    async def meanwhile(asked: Any) -> list[Any]:
        monkeypatch.undo()
        await bench.client.zadd(bench.keys.consumers("sub"), {"joining": time.time() * 1000})
        await bench.hold("joining", 1)
        return await original(asked)

    await bench.context.ensure_groups()
    monkeypatch.setattr(bench.store, "commands", meanwhile)
    bench.context.settings = WorkerSettings(lease=0.001)
    assert await bench.sweeper.orphans() == []


@pytest.mark.real
async def test_a_reader_that_is_forgotten_loses_nothing(real_store: Store, catalogue: Catalogue) -> None:
    """One that waits for events while it is taken out of its group, its heartbeat lost, gets the next all the same."""
    bench = Bench(real_store, catalogue)
    await bench.context.ensure_groups()
    key = bench.keys.events(FIRST)
    command = ("XREADGROUP", "GROUP", "sub", "waiting", "BLOCK", 10_000, "STREAMS", key, ">")
    await bench.client.execute_command("XGROUP", "CREATECONSUMER", key, "sub", "waiting")
    reading = asyncio.create_task(bench.client.execute_command(*command))

    async def blocked() -> bool:
        return (await bench.client.info("clients"))["blocked_clients"] > 0

    await eventually(blocked)
    bench.context.settings = WorkerSettings(lease=0.001)
    forgotten: list[str] = []

    async def forget_whom_we_find() -> bool:
        forgotten.extend(await bench.sweeper.orphans())
        for consumer in forgotten:
            await bench.sweeper.recover(consumer, idle=60_000)
        return bool(forgotten)

    await eventually(forget_whom_we_find)
    assert forgotten == ["waiting"]
    assert await bench.consumers() == set()
    entry_id = await bench.client.xadd(key, {"id": "next"})
    ((found, _),) = (await reading)[key.encode()]
    assert found == entry_id
    (pending,) = await bench.client.xpending_range(key, "sub", "-", "+", 10)
    assert (pending["message_id"], pending["consumer"]) == (entry_id, b"waiting")


@pytest.mark.parametrize("error", [StoreUnavailable("away"), StoreRefused("LOADING")])
async def test_an_error_of_the_store_is_raised(bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """What the store could not say is not taken for nothing to do."""

    async def failing(calls: list[Any]) -> list[Any]:
        return [error] * len(calls)

    await bench.hold("dead", 1)
    monkeypatch.setattr(bench.store, "run", failing)
    with pytest.raises(type(error)):
        await bench.sweeper.recover("dead")
    monkeypatch.setattr(bench.store, "commands", failing)
    with pytest.raises(type(error)):
        await bench.sweeper.orphans()


async def test_it_sweeps_again_and_again_and_survives_the_store(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the store is no end: the next sweep finds the orphans."""
    original = bench.sweeper.orphans
    failures: list[Exception] = [RedisConnectionError("away"), OSError("net")]

    async def orphans() -> list[str]:
        if failures:
            raise failures.pop()
        return await original()

    monkeypatch.setattr(bench.sweeper, "orphans", orphans)
    await bench.hold("dead", 1)
    task = asyncio.create_task(bench.sweeper.run())
    await eventually(lambda: bench.value("event_router_recovered_total") == 1)
    await bench.hold("another", 1)
    await eventually(lambda: bench.value("event_router_recovered_total") == 2)
    await end(task)


async def test_a_sweep_leaves_what_was_renewed_within_the_lease(bench: Bench) -> None:
    """An orphan whose deliveries are young may be alive: its heartbeat may only have been flushed away."""
    ids = await bench.hold("young", 1)
    bench.context.settings = WorkerSettings(lease=30, sweep_interval=0.01)
    await bench.client.xclaim(bench.keys.events(FIRST), "sub", "young", 0, ids, justid=True)
    task = asyncio.create_task(bench.sweeper.run())
    await eventually(lambda: bench.told >= 2)
    await end(task)
    assert await bench.inbox() == []
    assert await bench.consumers() == {b"young"}
