"""Heartbeats."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.exceptions import ConnectionError as RedisConnectionError
from support.waiting import eventually

from config.settings import WorkerSettings
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.scripts import BATCH
from workers import Subscription
from workers.consuming.context import Context
from workers.consuming.heartbeat import Heartbeat
from workers.delivery import Held
from workers.metrics import WorkerMetrics

STREAM = "visma-net-financial/customer_changed"


async def end(task: "asyncio.Task[Any]") -> None:
    """End a task for sure: on Python 3.11 the store's client swallows a cancellation now and then."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.05)


@pytest.fixture
def registry() -> CollectorRegistry:
    """Return a registry."""
    return CollectorRegistry()


@pytest.fixture
def context(store: Store, catalogue: Catalogue, registry: CollectorRegistry) -> Context:
    """Return a context with a short lease."""
    subscription = Subscription("sub", events=[STREAM])
    settings = WorkerSettings(lease=0.3)
    return Context(subscription, (STREAM,), "c1", store, catalogue, settings, WorkerMetrics(registry))


async def nobody(_consumer: str) -> None:
    """Recover nobody."""
    raise AssertionError


async def deliver(context: Context, number: int, *, inbox: bool = False) -> list[Held]:
    """Deliver some entries to the consumer."""
    client: Any = context.store.client
    key = context.keys.source(STREAM, "sub", inbox=inbox)
    await client.execute_command("XGROUP", "CREATE", key, "sub", "0", "MKSTREAM")
    ids = [await client.xadd(key, {"id": str(n)}) for n in range(number)]
    await client.execute_command("XREADGROUP", "GROUP", "sub", "c1", "COUNT", number, "STREAMS", key, ">")
    held = [Held(STREAM, entry, {}, inbox=inbox, touched=0.0) for entry in ids]
    context.in_hand.add(held)
    return held


async def test_everything_in_hand_is_renewed(context: Context) -> None:
    """Deliveries of streams and inboxes alike are held for another lease, however many."""
    held = [*await deliver(context, BATCH + 5), *await deliver(context, 3, inbox=True)]
    client: Any = context.store.client
    key = context.keys.source(STREAM, "sub", inbox=held[0].inbox)
    await client.xclaim(key, "sub", "c1", 0, [held[0].entry_id], idle=60_000, justid=True)
    await Heartbeat(context, nobody).extend()
    assert all(item.touched > 0 and not item.lost for item in held)
    [pending] = await client.xpending_range(key, "sub", held[0].entry_id, held[0].entry_id, 1)
    assert pending["time_since_delivered"] < 30_000


async def test_what_was_lost_is_noted(context: Context) -> None:
    """A delivery that another consumer took is marked, so that it is not started; the others are not."""
    kept, taken, done = await deliver(context, 3)
    client: Any = context.store.client
    await client.xclaim(context.keys.source(STREAM, "sub", inbox=kept.inbox), "sub", "c2", 0, [taken.entry_id])
    await client.xack(context.keys.source(STREAM, "sub", inbox=kept.inbox), "sub", done.entry_id)
    await Heartbeat(context, nobody).extend()
    assert [held.lost for held in (kept, taken, done)] == [False, True, True]


async def test_with_the_group_everything_is_lost(context: Context) -> None:
    """After a flush nothing in hand is this consumer's any more."""
    held = await deliver(context, 2)
    await context.store.client.delete(context.keys.source(STREAM, "sub", inbox=held[0].inbox))
    await Heartbeat(context, nobody).extend()
    assert all(item.lost for item in held)


async def test_with_empty_hands_there_is_nothing_to_ask(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle worker renews nothing."""
    monkeypatch.setattr(context.store, "run", nobody)
    await Heartbeat(context, nobody).extend()


async def test_an_answer_that_is_an_error_renews_nothing(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is away is no loss of deliveries, but no renewal either."""
    [held] = await deliver(context, 1)

    async def away(calls: list[Any]) -> list[Any]:
        return [RedisConnectionError("away")] * len(calls)

    monkeypatch.setattr(context.store, "run", away)
    with pytest.raises(RedisConnectionError):
        await Heartbeat(context, nobody).extend()
    assert held.touched == 0.0
    assert not held.lost


async def test_it_beats_within_the_lease_and_hands_over_the_dead(context: Context) -> None:
    """While it runs the consumer counts as alive, and each consumer found dead is handed to be recovered."""
    client: Any = context.store.client
    key = context.keys.consumers("sub")
    await client.zadd(key, {"dead": 1})
    recovered: list[str] = []

    async def recover(consumer: str) -> None:
        recovered.append(consumer)

    task = asyncio.create_task(Heartbeat(context, recover).run())
    await eventually(lambda: recovered)
    first = await client.zscore(key, "c1")

    async def beaten() -> bool:
        return bool(await client.zscore(key, "c1") > first)

    await eventually(beaten)
    await end(task)
    assert recovered[0] == "dead"
    assert first > (time.time() - 60) * 1000


async def test_a_missed_beat_is_made_up_for(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """A beat that the store does not take is no end: the next one comes."""
    original: Callable[[Any], Any] = context.store.call
    failures = [RedisConnectionError("away"), OSError("net"), TimeoutError()]

    async def call(argument: Any) -> Any:
        if failures:
            raise failures.pop()
        return await original(argument)

    monkeypatch.setattr(context.store, "call", call)
    task = asyncio.create_task(Heartbeat(context, nobody).run())

    async def beaten() -> bool:
        return await context.store.client.zscore(context.keys.consumers("sub"), "c1") is not None

    await eventually(beaten)
    assert not failures
    await end(task)


@pytest.mark.parametrize(("seconds", "judged"), [(0.0, ["silent"]), (0.2, [])], ids=["at once", "late"])
async def test_a_late_answer_judges_nobody(
    context: Context, monkeypatch: pytest.MonkeyPatch, seconds: float, judged: list[str]
) -> None:
    """While the store hangs nobody can beat: one whose beat it took at last must not take the others for dead."""
    now = 0.0
    context.monotonic = lambda: now
    heartbeat = Heartbeat(context, nobody)
    for _ in range(4):  # in touch for a whole lease
        await heartbeat.beat()
        now += 0.1
    original: Callable[[Any], Any] = context.store.call

    async def call(argument: Any) -> Any:
        nonlocal now
        now += seconds
        return await original(argument)

    monkeypatch.setattr(context.store, "call", call)
    await context.store.client.zadd(context.keys.consumers("sub"), {"silent": 1})
    assert await heartbeat.beat() == judged


async def test_a_missed_beat_is_made_up_for_soon(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a beat that failed the next comes at once: a third of the lease later it could be too late."""
    third = context.settings.lease / 3
    outcomes = iter([RedisConnectionError("cut"), RedisConnectionError("cut"), None, None])
    pauses: list[float] = []
    sleep, over = asyncio.sleep, asyncio.Event()

    async def paused(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    async def beat() -> list[str]:
        try:
            outcome = next(outcomes)
        except StopIteration:
            over.set()
            await asyncio.Event().wait()
        if outcome is not None:
            raise outcome
        return []

    heartbeat = Heartbeat(context, nobody)
    monkeypatch.setattr(heartbeat, "beat", beat)
    monkeypatch.setattr(asyncio, "sleep", paused)
    task = asyncio.create_task(heartbeat.run())
    await over.wait()
    monkeypatch.undo()
    await end(task)
    assert [pause == third for pause in pauses[:4]] == [True, False, False, True]
    assert all(pause <= third for pause in pauses)
