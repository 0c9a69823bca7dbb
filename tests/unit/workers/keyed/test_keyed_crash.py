"""Workers of keyed subscriptions that die, freeze, stop or lose the store: what becomes of keys and of the lease."""

import asyncio
import json
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.keyed_bench import CALM, SHORT, SLUG, STREAM, Bench
from support.waiting import eventually

from router.store.lines import Lines
from workers import Delivery, Retry, Subscription
from workers.consuming.consumer import Consumer
from workers.keyed.consumer import KeyedConsumer
from workers.state.overview import SubscriptionOverview, overview

QUICK = Retry(max_attempts=3, first_delay=0.05, max_delay=0.05)


def history(letter: dict[str, str]) -> list[dict[str, Any]]:
    """Return the failures of a dead letter."""
    return [json.loads(line) for line in letter["history"].splitlines()]


def keyed(bench: Bench, **options: Any) -> Subscription:
    """Return a subscription whose handler the bench has."""
    subscription = Subscription("sub", events=[STREAM], key="resource", retry=QUICK, **options)
    subscription.handler(bench.handle)
    return subscription


async def test_the_keys_of_a_killed_worker_come_back(bench: Bench) -> None:
    """What a killed worker held is handled by another about a lease later, in order, and no key by two."""
    gate = asyncio.Event()
    entered: list[str] = []
    subscription = Subscription("sub", events=[STREAM], key="resource", retry=QUICK)

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        entered.append(delivery.event.id)
        if not gate.is_set():
            await asyncio.Event().wait()
        await bench.handle(delivery)

    await bench.publish("a1@a", "a2@a", "b1@b", "b2@b")
    first = await bench.start(subscription, "first", lease=SHORT)
    await eventually(lambda: {"a1", "b1"} <= set(entered))
    await bench.kill(first)
    gate.set()
    await bench.start(subscription, "second", lease=SHORT)
    await bench.all_handled(4)
    for key in "ab":
        assert [id_ for id_ in bench.handled if id_[0] == key] == [f"{key}1", f"{key}2"]
    assert not bench.overlaps
    await bench.emptied(subscription)


async def test_a_worker_that_comes_back_has_its_keys_at_once(bench: Bench) -> None:
    """A worker that was killed and is started again under its name goes on with its keys, and waits for no lease."""
    gate = asyncio.Event()
    subscription = Subscription("sub", events=[STREAM], key="resource", retry=QUICK)

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        if not gate.is_set():
            await asyncio.Event().wait()
        await bench.handle(delivery)

    await bench.publish("a1@a", "a2@a", "b1@b")
    first = await bench.start(subscription)
    await eventually(lambda: len(first.context.in_hand) == 2)
    await bench.kill(first)
    gate.set()
    await bench.start(subscription, returning=True)
    await eventually(lambda: len(bench.handled) == 3, timeout=CALM / 3)
    assert [id_ for id_ in bench.handled if id_[0] == "a"] == ["a1", "a2"]
    await bench.emptied(subscription)


async def test_an_event_that_kills_its_workers_ends_dead(bench: Bench) -> None:
    """An event that kills its worker every time is delivered max_attempts times, then dead; nothing near it is blamed.

    The later events of its key and the others that the worker had in hand are handled; its history shows the crashes.
    """
    deliveries: list[int] = []
    died = asyncio.Event()
    subscription = Subscription("sub", events=[STREAM], key="resource", concurrency=4, retry=QUICK)
    alive: list[Consumer] = []

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        if delivery.event.id == "poison":
            deliveries.append(delivery.attempt)
            bench.cut(alive[-1])
            died.set()
            await asyncio.Event().wait()
        await bench.handle(delivery)

    names = [f"n{number}" for number in range(12)]
    await bench.publish(*names[:6], "poison@p", "after@p", *names[6:])
    for life in range(20):
        died.clear()
        alive.append(await bench.start(subscription, f"life-{life}", lease=SHORT))
        buried = asyncio.ensure_future(eventually(lambda: bench.count(subscription, "dead") == 1))
        await asyncio.wait([buried, asyncio.ensure_future(died.wait())], return_when=asyncio.FIRST_COMPLETED)
        if buried.done():
            break
        buried.cancel()
        await bench.kill(alive[-1])
    letters = await bench.dead(subscription)
    assert set(letters) == {"poison"}
    assert deliveries == [1, 2, 3]
    assert letters["poison"]["crashes"] == "3"
    assert "worker died" in letters["poison"]["reason"]
    assert [error["error"] for error in history(letters["poison"])] == ["WorkerLost"] * 3
    await eventually(lambda: set(bench.handled) == {*names, "after"})
    await bench.emptied(subscription)


async def test_another_worker_leads_as_soon_as_the_leader_has_stopped(bench: Bench) -> None:
    """The worker that brings the events gives its lease up at its stop: another has it at once, not a lease later."""
    subscription = keyed(bench)
    first = await bench.start(subscription, "first")
    await leads(bench, first)
    second = await bench.start(subscription, "second")
    await bench.stop(first)
    await eventually(lambda: leading(bench, second), timeout=CALM / 20)
    await bench.publish("a1")
    await bench.all_handled(1)


async def test_a_killed_leader_is_replaced_within_its_lease(bench: Bench) -> None:
    """Events are brought again once the lease of the killed worker is over."""
    subscription = keyed(bench)
    first = await bench.start(subscription, "first", lease=SHORT)
    await leads(bench, first)
    second = await bench.start(subscription, "second", lease=SHORT)
    await bench.kill(first)
    await bench.publish("a1")
    await bench.all_handled(1)
    await leads(bench, second)


async def test_a_leader_that_was_frozen_does_no_harm(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker brings that froze with the events in its hands and lost its lease is refused: none comes twice."""
    subscription = keyed(bench)
    first = await bench.start(subscription, "first", lease=SHORT)
    await leads(bench, first)
    assert isinstance(first, KeyedConsumer)
    add, lead, frozen, woken = first._mover._add, first._leadership._lead, asyncio.Event(), asyncio.Event()

    async def lead_not() -> Any:
        await woken.wait()
        return await lead()

    async def freeze(entries: Any) -> None:
        monkeypatch.setattr(
            first._leadership, "_lead", lead_not
        )  # not before: nobody would lead once its lease is over
        frozen.set()
        await woken.wait()
        await add(entries)

    monkeypatch.setattr(first._mover, "_add", freeze)
    await bench.publish(*(f"{number}@a" for number in range(20)))
    await frozen.wait()
    second = await bench.start(subscription, "second", lease=SHORT)
    await bench.all_handled(20)
    await leads(bench, second)
    await bench.stop(second)
    monkeypatch.setattr(first._mover, "_add", add)
    woken.set()
    await bench.publish("20@a")
    await bench.all_handled(21)
    await bench.emptied(subscription)
    assert [int(id_) for id_ in bench.handled] == list(range(21))


async def test_a_leader_that_dies_between_the_hops_leaves_nothing_behind(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in the lines already, and not gone from its stream or inbox yet, is not brought twice and goes then."""
    subscription = keyed(bench)
    first = await bench.start(subscription, "first", lease=SHORT)
    assert isinstance(first, KeyedConsumer)
    added = asyncio.Event()

    async def never(_: Any) -> None:
        added.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(first._mover, "_move_on", never)
    raw = json.dumps({"event": "customer_changed", "notificationId": "again", "resourceUri": "v1/customer/b"})
    inbox = bench.keys.inbox(STREAM, "sub")
    await bench.client.xadd(inbox, {"id": "again", "at": "1", "raw": raw})
    await added.wait()
    await bench.kill(first)
    added.clear()
    second = await bench.start(subscription, "second", lease=SHORT)
    assert isinstance(second, KeyedConsumer)
    await bench.all_handled(1)
    monkeypatch.setattr(second._mover, "_move_on", never)
    await bench.publish("a1@a", "a2@a")
    await added.wait()
    await bench.kill(second)
    await bench.start(subscription, "third", lease=SHORT)
    await bench.all_handled(3)

    async def nothing_left() -> bool:
        (seen,) = await overview(bench.store, [STREAM])
        return seen.subscriptions == (SubscriptionOverview("sub", 0, 0, 0, 0),)

    await eventually(nothing_left)
    assert await bench.client.xlen(inbox) == 0
    assert bench.handled == ["again", "a1", "a2"]
    await bench.emptied(subscription)


async def test_a_worker_that_froze_with_a_key_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that lost its hold on a key does not settle what it handled, and nothing of the key is skipped."""
    gate = asyncio.Event()
    entered: list[str] = []
    subscription = Subscription("sub", events=[STREAM], key="resource", retry=QUICK)

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        entered.append(delivery.event.id)
        if len(entered) == 1:
            await gate.wait()
        else:
            bench.handled.append(delivery.event.id)

    first = await bench.start(subscription, "first", lease=SHORT)

    async def nothing() -> None:
        pass

    monkeypatch.setattr(first._heartbeat, "extend", nothing)
    await bench.publish("a1@a", "a2@a")
    await eventually(lambda: entered == ["a1"])
    second = await bench.start(subscription, "second", lease=SHORT)
    await bench.all_handled(2)
    assert bench.handled == ["a1", "a2"]
    gate.set()
    await eventually(lambda: bench.count(subscription, "lost") >= 1)
    assert bench.handled == ["a1", "a2"]
    assert second.ready
    await bench.emptied(subscription)


async def test_a_flush_mends_itself(bench: Bench) -> None:
    """After all keys are gone, the lines, the lease and the groups too, what comes then is handled."""
    subscription = keyed(bench, start="latest")
    await bench.start(subscription, "first", lease=SHORT)
    await bench.start(subscription, "second", lease=SHORT)
    await bench.publish("a1@a", "a2@a")
    await bench.all_handled(2)
    await flush(bench)
    await bench.publish("a3@a", "a4@a")
    await bench.all_handled(4)
    assert bench.handled == ["a1", "a2", "a3", "a4"]
    await bench.emptied(subscription)


async def test_a_flush_with_keys_in_hand(bench: Bench) -> None:
    """What runs during a flush ends as lost; the same key is handled again for what comes."""
    gate = asyncio.Event()
    entered: list[str] = []
    subscription = Subscription("sub", events=[STREAM], key="resource", retry=QUICK)

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        entered.append(delivery.event.id)
        if delivery.event.id == "a1":
            await gate.wait()

    await bench.publish("a1@a", "a2@a")
    consumer = await bench.start(subscription, lease=SHORT)
    await eventually(lambda: "a1" in entered)
    await flush(bench)
    gate.set()
    await eventually(lambda: bench.count(subscription, "lost"))
    await bench.publish("a3@a")
    await eventually(lambda: "a3" in entered)
    assert "a2" not in entered
    await eventually(lambda: not consumer.context.in_hand)
    await bench.emptied(subscription)


async def test_a_stream_that_is_begun_again_with_lower_ids_loses_nothing(bench: Bench) -> None:
    """What comes into a stream that somebody deleted is brought, though its ids are lower than those brought before."""
    subscription = keyed(bench)
    key = bench.keys.events(STREAM)
    far = b"99999999999999-0"
    raw = json.dumps({"event": "customer_changed", "notificationId": "old", "resourceUri": "v1/customer/a"})
    await bench.client.xadd(key, {"id": "old", "at": "1", "raw": raw}, id=far)
    await bench.start(subscription, sweep_interval=SHORT)
    await bench.all_handled(1)
    await bench.emptied(subscription)
    await bench.client.delete(key)
    await bench.publish("a1@a", "a2@a")
    await bench.all_handled(3)
    assert bench.handled == ["old", "a1", "a2"]


async def test_a_key_of_another_type_holds_up_no_other_stream(bench: Bench) -> None:
    """A stream whose key holds something else is left out, and read once it is one, without a restart."""
    wrong = f"{SLUG}/supplier_changed"
    subscription = Subscription("sub", events=[STREAM, wrong], key="resource")
    subscription.handler(bench.handle)
    await bench.client.set(bench.keys.events(wrong), "no stream")
    await bench.publish("a1@a")
    await bench.start(subscription, sweep_interval=SHORT)
    await bench.all_handled(1)
    await bench.client.delete(bench.keys.events(wrong))
    await bench.publish("s1@s", stream=wrong)
    await bench.all_handled(2)
    assert bench.handled == ["a1", "s1"]


async def test_only_keys_of_another_type_end_no_worker(bench: Bench) -> None:
    """A worker that can read nothing waits until it can."""
    subscription = keyed(bench)
    await bench.client.set(bench.keys.events(STREAM), "no stream")
    await bench.client.set(bench.keys.inbox(STREAM, subscription.name), "no stream")
    with capture_logs() as said:
        await bench.start(subscription, sweep_interval=SHORT)
        await eventually(lambda: any(line["event"] == "store_failed" for line in said))
    await bench.client.delete(bench.keys.events(STREAM), bench.keys.inbox(STREAM, subscription.name))
    await bench.publish("a1@a")
    await bench.all_handled(1)


async def flush(bench: Bench) -> None:
    """Delete everything of this test."""
    async for key in bench.client.scan_iter(match=f"{bench.keys.prefix}:*", count=1000):
        await bench.client.delete(key)


async def leading(bench: Bench, consumer: Consumer) -> bool:
    """Return whether a consumer has the lease."""
    assert isinstance(consumer, KeyedConsumer)
    mover = bench.keys.lines(consumer.context.group)[14]
    return bool(await bench.client.get(mover) == consumer._leadership.token.encode())


async def leads(bench: Bench, consumer: Consumer) -> None:
    """Wait until a consumer has the lease."""
    await eventually(lambda: leading(bench, consumer))


@pytest.mark.parametrize("cluster", [False, True])
async def test_lines_that_lost_their_last_events_get_them_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, cluster: bool
) -> None:
    """On a Cluster the node of the lines may lose its last writes: what it does not know of is brought again, once.

    On one server lines and group are lost together: what the group has passed is with others, and not brought again.
    """
    monkeypatch.setattr(bench.store, "cluster", cluster)
    gate = asyncio.Event()
    subscription = Subscription("sub", events=[STREAM], key="resource", retry=QUICK)

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        if delivery.event.id in ("b1", "c1"):
            await gate.wait()
        await bench.handle(delivery)

    await bench.publish("a1@a")
    first = await bench.start(subscription, "first", lease=SHORT)
    await bench.all_handled(1)
    await bench.emptied(subscription)
    read = Lines(bench.keys, "sub").read
    before = await bench.client.hgetall(read)
    await bench.publish("b1@a", "c1@a")
    await eventually(lambda: bench.lines_hold("sub", 2))
    events = bench.keys.events(STREAM)
    ((last, _),) = await bench.client.xrevrange(events, count=1)

    async def passed() -> bool:
        (group,) = await bench.client.xinfo_groups(events)
        return bool(group["last-delivered-id"] == last)

    await eventually(passed)
    await bench.kill(first)
    for key in bench.keys.lines("sub"):
        await bench.client.delete(key)
    await bench.client.hset(read, mapping=before)
    gate.set()
    await bench.publish("d1@a")
    await bench.start(subscription, "second", lease=SHORT)
    await eventually(lambda: "d1" in bench.handled)
    await bench.emptied(subscription)
    assert bench.handled == (["a1", "b1", "c1", "d1"] if cluster else ["a1", "d1"])
