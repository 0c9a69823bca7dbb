"""What the workers of a paused subscription do, and do not do."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from support.filling import CUSTOMERS, put_events, put_group
from support.servers import starting
from support.stores import real_store as on_real_server
from support.waiting import eventually

from config.settings import WorkerSettings
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import StoreRefused
from workers import Delivery, Retry, Subscription
from workers.consuming.consumer import Consumer
from workers.metrics import WorkerMetrics
from workers.operations.pauses import pause, resume
from workers.state.overview import overview
from workers.state.pauses import Pause, confirmed


class House:
    """A store, and the consumers at work on it."""

    def __init__(self, store: Store, catalogue: Catalogue, stack: AsyncExitStack) -> None:
        self.store = store
        self._catalogue = catalogue
        self._stack = stack
        self.started: dict[str, Counter[str]] = {}
        self.finished: dict[str, Counter[str]] = {}
        self.free = asyncio.Event()
        self.free.set()
        self.failing: set[str] = set()

    async def work(self, name: str = "sync", consumer: str = "w1", **options: Any) -> Consumer:
        """Start a worker that counts, and whose handlers end when they are free to."""
        started = self.started.setdefault(name, Counter())
        finished = self.finished.setdefault(name, Counter())
        retry = Retry(max_attempts=3, first_delay=0.05, max_delay=0.05)
        subscription = Subscription(name, events=[CUSTOMERS], retry=retry, **options)

        @subscription.handler
        async def handle(delivery: Delivery) -> None:
            started[delivery.event.id] += 1
            await self.free.wait()
            if delivery.event.id in self.failing and delivery.attempt == 1:
                raise ValueError
            finished[delivery.event.id] += 1

        settings = WorkerSettings(lease=60, block=5, sweep_interval=60, shutdown_timeout=5)
        metrics = WorkerMetrics(CollectorRegistry())
        worker = Consumer(subscription, consumer, self.store, self._catalogue, settings, metrics)
        await worker.start()
        self._stack.push_async_callback(worker.stop)
        return worker

    async def pause(self, *consumers: str, seconds: float | None = None, name: str = "sync") -> Pause:
        """Pause a subscription, and wait until these workers have confirmed it."""
        made = await pause(self.store, name, seconds, by="ann")
        await self.until_halted(made, *consumers, name=name)
        return made

    async def until_halted(self, made: Pause, *consumers: str, name: str = "sync") -> None:
        """Wait for the confirmations."""

        async def halted() -> bool:
            return await confirmed(self.store, name, made) >= set(consumers)

        await eventually(halted)

    async def all_done(self, *ids: str, name: str = "sync") -> None:
        """Wait until each of these was handled."""
        await eventually(lambda: set(ids) <= set(self.finished[name]))

    async def lag(self, name: str = "sync") -> tuple[int, int, int]:
        """Return what waits, is pending and is scheduled."""
        (stream,) = await overview(self.store, [CUSTOMERS])
        (way,) = [way for way in stream.subscriptions if way.name == name]
        return way.lag, way.pending, way.scheduled


@pytest.fixture
async def house(store: Store, catalogue: Catalogue) -> AsyncIterator[House]:
    """Yield a house, and stop its workers."""
    async with AsyncExitStack() as stack:
        house = House(store, catalogue, stack)
        yield house
        house.free.set()


def ids(prefix: str, number: int) -> list[str]:
    """Return names of events."""
    return [f"{prefix}{count}" for count in range(number)]


async def test_pause_under_load(house: House) -> None:
    """After the workers confirmed no handler starts, though others go on; resumed, each event is handled just once."""
    for consumer in ("w1", "w2"):
        await house.work(consumer=consumer, concurrency=4)
    await house.work("other")
    before, meanwhile = ids("before", 300), ids("meanwhile", 60)
    for start in range(0, 300, 50):
        await put_events(house.store, *before[start : start + 50])
    await eventually(lambda: house.started["sync"])
    await house.pause("w1", "w2")
    started = house.started["sync"].copy()
    await put_events(house.store, *meanwhile)
    await house.all_done(*before, *meanwhile, name="other")
    assert house.started["sync"] == started
    assert not set(meanwhile) & set(started)

    async def all_wait() -> bool:
        return await house.lag() == (360 - len(started), 0, 0)

    await eventually(all_wait)
    await resume(house.store, "sync", by="ann")
    await house.all_done(*before, *meanwhile)

    async def all_settled() -> bool:
        return await house.lag() == (0, 0, 0)

    await eventually(all_settled)
    assert set(house.started["sync"].values()) == {1}


async def test_what_runs_finishes_and_what_waits_is_given_back(house: House) -> None:
    """The handler that runs goes on to its end; what was read ahead goes to the inbox, not through the handlers."""
    house.free.clear()
    worker = await house.work(concurrency=1)
    await put_events(house.store, *ids("e", 5))
    await eventually(lambda: house.started["sync"])
    await house.pause("w1")
    house.free.set()
    await house.all_done("e0")

    async def put_back() -> bool:
        return not worker.context.in_hand and await house.lag() == (4, 0, 0)

    await eventually(put_back)
    assert house.started["sync"] == {"e0": 1}
    await resume(house.store, "sync", by="ann")
    await house.all_done(*ids("e", 5))
    assert set(house.started["sync"].values()) == {1}


async def test_retries_wait(house: House) -> None:
    """A retry that becomes due meanwhile stays where it is, and comes afterwards."""
    house.failing = {"e1"}
    house.free.clear()
    await house.work()
    await put_events(house.store, "e1")
    await eventually(lambda: house.started["sync"])
    await house.pause("w1")
    await house.work("other")
    house.free.set()
    await house.all_done("e1", name="other")  # whose retry was due as soon
    await eventually(lambda: _is_due(house.store))
    assert await house.lag() == (0, 0, 1)
    await resume(house.store, "sync", by="ann")
    await house.all_done("e1")
    assert house.started["sync"] == {"e1": 2}


async def _is_due(store: Store) -> bool:
    (row,) = await store.client.zrange(store.keys.due(CUSTOMERS, "sync"), 0, 0, withscores=True) or [(b"", 1e15)]
    return bool(row[1] < time.time() * 1000)


async def test_a_worker_that_starts_into_a_pause(house: House) -> None:
    """It takes nothing, from the first moment on, and says so; until it is resumed."""
    await put_group(house.store, "sync")
    await put_events(house.store, *ids("e", 5))
    await house.pause()
    worker = await house.work()
    await house.work("other")
    await house.all_done(*ids("e", 5), name="other")
    assert worker.pause is not None
    assert house.started["sync"] == {}
    assert await house.lag() == (5, 0, 0)
    await resume(house.store, "sync", by="ann")
    await house.all_done(*ids("e", 5))
    await eventually(lambda: worker.pause is None)


async def test_it_ends_by_itself(house: House) -> None:
    """A pause with an end is over then, without a word from anybody."""
    await house.work()
    made = await house.pause("w1", seconds=1)
    assert made.until is not None
    await put_events(house.store, "e1")
    await house.all_done("e1")
    assert time.time() >= made.until.timestamp() - 0.1


async def test_another_pause_is_confirmed_as_well(house: House) -> None:
    """Who prolongs a pause hears from the workers too, and the new one is what they keep to."""
    worker = await house.work()
    await house.pause("w1", seconds=60)
    made = await house.pause("w1")
    await eventually(lambda: worker.pause is not None and worker.pause.entry_id == made.entry_id)
    assert worker.pause is not None
    assert worker.pause.until is None


async def test_the_work_of_a_dead_worker_is_taken_over(house: House) -> None:
    """What a worker held that died comes to the inbox meanwhile, and is handled afterwards."""
    await put_group(house.store, "sync")
    await put_events(house.store, "e1")
    events = house.store.keys.events(CUSTOMERS)
    await house.store.client.execute_command("XREADGROUP", "GROUP", "sync", "gone", "STREAMS", events, ">")
    await house.pause()
    worker = await house.work()
    await worker._sweeper.recover("gone")
    assert await house.lag() == (1, 0, 0)
    assert house.started["sync"] == {}
    await resume(house.store, "sync", by="ann")
    await house.all_done("e1")


async def test_a_store_that_forgets_the_pause(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its key, as after a flush, a pause is over: nobody could end it otherwise."""
    monkeypatch.setattr("workers.consuming.pause_watch._BLOCK", 0.1)
    await house.work()
    made = await house.pause("w1")
    await put_events(house.store, "e1")
    await house.store.client.delete(house.store.keys.pause("sync"))
    await house.all_done("e1")
    assert made.until is None


async def test_a_store_that_does_not_tell(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody may ask for pauses, as with the users of an older version, workers work."""
    commands = house.store.commands

    async def refusing(asked: Any) -> list[Any]:
        refused = StoreRefused("NOPERM no permissions to access the key")
        return [
            refused if one[0] == "XREVRANGE" else reply for one, reply in zip(asked, await commands(asked), strict=True)
        ]

    monkeypatch.setattr(house.store, "commands", refusing)
    await house.work()
    await put_events(house.store, "e1")
    await house.all_done("e1")


async def test_stopping_while_paused(house: House, store: Store) -> None:
    """A worker ends in order while its subscription is paused."""
    await house.work()
    await house.pause("w1")


@pytest.mark.real
async def test_a_restarted_server_keeps_the_pause(catalogue: Catalogue) -> None:
    """A pause outlives the server; a worker that was cut off from it goes on to keep to it, and hears of its end."""
    with starting() as server:
        async with on_real_server(server.url) as store, AsyncExitStack() as stack:
            house = House(store, catalogue, stack)
            await house.work()
            await house.pause("w1")
            assert (await store.command("WAITAOF", 1, 0, 60_000))[0] == 1  # a busy disk may have put the write off
            server.kill()
            server.start()
            await eventually(lambda: _is_up(store))
            await put_events(store, "e1")
            await house.work("other")
            await house.all_done("e1", name="other")
            await house.work(consumer="w2")
            assert house.started["sync"] == {}
            await resume(store, "sync", by="ann")
            await house.all_done("e1")
            assert house.started["sync"] == {"e1": 1}


async def _is_up(store: Store) -> bool:
    (reply,) = await store.commands([("PING",)])
    return not isinstance(reply, BaseException)
