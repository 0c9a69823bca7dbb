"""Keyed subscriptions at work: in order and one at a time for each key, over all workers."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest
from support.keyed_bench import CALM, SLUG, STREAM, Bench
from support.waiting import eventually

from router.store import scripts
from router.store.client import Store
from router.store.errors import StoreUnavailable
from router.store.keys import LINES
from router.store.lines import Lines
from router.tasks.ending import end
from workers import Coalesce, DeadLetter, Delivery, Event, Retry, Subscription
from workers.keyed.consumer import KeyedConsumer
from workers.keyed.in_order import Entry
from workers.keyed.mover import Mover

READ = 200
"""Entries that one read takes of a stream at most."""


async def test_each_key_is_handled_in_order(bench: Bench) -> None:
    """Events of one resource are handled one after the other, as the store took them; others beside them."""
    subscription = Subscription("sub", events=[STREAM], key="resource")
    subscription.handler(bench.handle)
    await bench.publish(*(f"{number}@{number % 3}" for number in range(60)))
    await bench.start(subscription)
    await bench.publish(*(f"{number}@{number % 3}" for number in range(60, 90)))
    await bench.all_handled(90)
    for customer in range(3):
        own = [int(id_) for id_ in bench.handled if int(id_) % 3 == customer]
        assert own == sorted(own)
    assert not bench.overlaps


async def test_a_retry_holds_up_its_own_key_alone(bench: Bench) -> None:
    """An event that fails is handled again before the next of its key, and the other keys go on meanwhile."""
    retry = Retry(max_attempts=5, first_delay=0.2, max_delay=0.2)
    subscription = Subscription("sub", events=[STREAM], key="resource", retry=retry)

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        if delivery.event.id == "a1" and delivery.attempt < 3:
            raise ValueError("not yet")
        await bench.handle(delivery)

    await bench.publish("a1@a", "a2@a", "b1@b", "b2@b")
    await bench.start(subscription)
    await bench.all_handled(4)
    assert bench.handled == ["b1", "b2", "a1", "a2"]


async def test_a_dead_letter_lets_its_key_go_on(bench: Bench) -> None:
    """What is given up is among the dead letters once, and the next of its key is handled."""
    subscription = Subscription("sub", events=[STREAM], key="resource")

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        if delivery.event.id == "a1":
            raise DeadLetter("no such customer")
        await bench.handle(delivery)

    await bench.publish("a1@a", "a2@a")
    await bench.start(subscription)
    await bench.all_handled(1)
    assert bench.handled == ["a2"]
    letters = await bench.client.xrange(bench.keys.dead(STREAM, "sub"))
    assert [fields[b"id"] for _, fields in letters] == [b"a1"]


async def test_several_become_one(bench: Bench) -> None:
    """Events of a key that come soon after one another are one delivery, of the newest, which names the others."""
    subscription = Subscription("sub", events=[STREAM], key="resource", coalesce=Coalesce(quiet=0.2, within=5))
    seen: list[Delivery] = []

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        seen.append(delivery)

    await bench.start(subscription)
    await bench.publish("a1@a", "a2@a", "a3@a", "b1@b")
    await eventually(lambda: len(seen) == 2)
    a, b = sorted(seen, key=lambda delivery: delivery.event.id)
    assert (a.event.id, [merged.id for merged in a.merged]) == ("a3", ["a1", "a2"])
    assert (b.event.id, b.merged) == ("b1", ())
    assert a.first_at == a.merged[0].at

    def merged() -> bool:
        return bench.registry.get_sample_value("event_router_merged_total", {"subscription": "sub"}) == 2

    await eventually(merged)


async def test_two_workers_share_the_lines(bench: Bench) -> None:
    """Two workers never handle two events of a key at once, and all is handled once."""
    subscription = Subscription("sub", events=[STREAM], key="resource")
    subscription.handler(bench.handle)
    await bench.start(subscription, "c1")
    await bench.start(subscription, "c2")
    for start in range(0, 200, 20):
        await bench.publish(*(f"{number}@{number % 5}" for number in range(start, start + 20)))
    await bench.all_handled(200)
    for customer in range(5):
        own = [int(id_) for id_ in bench.handled if int(id_) % 5 == customer]
        assert own == sorted(own)
    assert not bench.overlaps
    assert len(bench.handled) == 200


async def test_a_company_has_so_many_at_once(bench: Bench) -> None:
    """No more handlers of one company run at once than `per_company` says, over all workers."""
    subscription = Subscription("sub", events=[STREAM], per_company=2)
    going = 0
    most = 0
    done = 0

    @subscription.handler
    async def sync(event: Event) -> None:
        nonlocal going, most, done
        going += 1
        most = max(most, going)
        await asyncio.sleep(0.01)
        going -= 1
        done += 1

    await bench.publish(*(str(number) for number in range(20)))
    await bench.start(subscription, "c1")
    await bench.start(subscription, "c2")
    await eventually(lambda: done == 20)
    assert most == 2


async def test_the_lease_of_the_lines_may_be_lost(bench: Bench) -> None:
    """A worker that finds that another has the lease lets it be, and brings events again once it has it itself."""
    subscription = Subscription("sub", events=[STREAM], key="resource")
    subscription.handler(bench.handle)
    consumer = await bench.start(subscription)
    await bench.publish("a1")
    await bench.all_handled(1)
    await bench.client.set(bench.keys.lines("sub")[LINES.index("mover")], "another", px=300)
    await bench.publish("a2")
    await goes_on(consumer, bench.all_handled(2))


async def test_the_store_may_be_away_while_events_are_brought(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that the store does not answer between the two hops brings the same events again, each once."""
    failed: list[str] = []
    move_on = Mover._move_on

    async def fail_once(mover: Mover, entries: Sequence[Entry]) -> None:
        if not failed:
            failed.append("once")
            raise StoreUnavailable("the connection was lost")
        await move_on(mover, entries)

    monkeypatch.setattr(Mover, "_move_on", fail_once)
    subscription = Subscription("sub", events=[STREAM], key="resource")
    subscription.handler(bench.handle)
    await bench.publish("a1@a", "a2@a")
    consumer = await bench.start(subscription)
    await goes_on(consumer, bench.all_handled(2))
    await bench.publish("a3@a")
    await goes_on(consumer, bench.all_handled(3))
    assert bench.handled == ["a1", "a2", "a3"]


async def test_what_one_stream_holds_back_of_another_waits_for_no_further_event(bench: Bench) -> None:
    """Events behind a full read of another stream come as soon as that is known to be empty, not after a wait."""
    other = f"{SLUG}/customer_updated"
    subscription = Subscription("sub", events=[STREAM, other], key="resource")
    subscription.handler(bench.handle)
    for start in range(0, READ, scripts.BATCH):
        await bench.publish(*map(str, range(start, start + scripts.BATCH)))
    await bench.publish("behind", stream=other)
    await bench.start(subscription, block=CALM)
    await bench.all_handled(READ + 1)


async def test_a_claim_is_as_old_as_its_request(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that gets a claim after a lease asks whether it still has the keys before it handles them."""
    subscription = Subscription("sub", events=[STREAM], key="resource")
    subscription.handler(bench.handle)
    consumer = await bench.start(subscription)
    ahead = 0.0
    call = Store.call

    async def be_late(store: Store, one: scripts.Call) -> Any:
        nonlocal ahead
        reply = await call(store, one)
        if one.script.name == "lines/claim" and reply[0] and not ahead:
            ahead = CALM
            await call(store, Lines(bench.keys, "sub").abandon("c1/"))  # as a worker that takes it over
        return reply

    monkeypatch.setattr(Store, "call", be_late)
    consumer.context.monotonic = lambda: time.monotonic() + ahead
    await bench.publish("a1")
    await bench.all_handled(1)
    await eventually(lambda: not consumer.context.in_hand)
    assert bench.handled == ["a1"]


async def test_the_store_may_be_away_again_when_a_term_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that has the lease still, and cannot read what it brought before, tries that again."""
    failures = ["bringing", "reading what was brought"]
    move_on, command = Mover._move_on, Store.command

    async def fail_to_move_on(mover: Mover, entries: Sequence[Entry]) -> None:
        if len(failures) == 2:
            raise StoreUnavailable(failures.pop(0))
        await move_on(mover, entries)

    async def fail_to_read(store: Store, *parts: Any) -> Any:
        if parts[0] == "HGETALL" and len(failures) == 1:
            raise StoreUnavailable(failures.pop())
        return await command(store, *parts)

    monkeypatch.setattr(Mover, "_move_on", fail_to_move_on)
    monkeypatch.setattr(Store, "command", fail_to_read)
    subscription = Subscription("sub", events=[STREAM], key="resource")
    subscription.handler(bench.handle)
    await bench.publish("a1@a", "a2@a")
    consumer = await bench.start(subscription)
    await goes_on(consumer, bench.all_handled(2))
    await goes_on(consumer, eventually(lambda: not failures))
    await bench.publish("a3@a")
    await goes_on(consumer, bench.all_handled(3))
    assert bench.handled == ["a1", "a2", "a3"]


async def goes_on(consumer: KeyedConsumer, work: Coroutine[Any, Any, None]) -> None:
    """Wait for something; raises what the consumer ends in meanwhile."""
    failed, waiting = asyncio.create_task(consumer.failed()), asyncio.create_task(work)
    done, _ = await asyncio.wait([failed, waiting], return_when=asyncio.FIRST_COMPLETED)
    await end([failed, waiting])
    for task in done:
        task.result()


async def test_what_a_claim_got_whose_reply_was_lost_is_given_back_at_a_stop(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that stops before it knows what a claim got keeps no key to itself until the lease ends."""
    subscription = Subscription("sub", events=[STREAM], key="resource")
    subscription.handler(bench.handle)
    lost = asyncio.Event()
    call = Store.call

    async def lose(store: Store, one: scripts.Call) -> Any:
        reply = await call(store, one)
        if one.script.name == "lines/claim" and reply[0]:
            consumer._reader._stopping = True  # before it tries again
            lost.set()
            raise StoreUnavailable("the reply was lost")
        return reply

    consumer = await bench.start(subscription)
    monkeypatch.setattr(Store, "call", lose)
    await bench.publish("a1@a")
    await asyncio.wait_for(lost.wait(), 30)
    await bench.stop(consumer)
    assert "running" not in await bench.lines(subscription)


async def test_what_is_settled_reaches_the_store_though_the_lease_cannot_be_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that stops settles what it handled, whatever becomes of the lease of the lines."""
    subscription = Subscription("sub", events=[STREAM], key="resource")
    subscription.handler(bench.handle)
    consumer = await bench.start(subscription)
    drained: list[bool] = []

    async def refuse(*_: Any) -> None:
        raise StoreUnavailable("the reply was lost")

    async def drain() -> None:
        drained.append(True)

    monkeypatch.setattr(consumer._leadership, "give_up", refuse)
    monkeypatch.setattr(consumer._settler, "drain", drain)
    await bench.stop(consumer)
    assert drained


async def test_a_hold_is_lost_by_itself(bench: Bench) -> None:
    """A worker that has an event twice, as its first claim was taken back, keeps the second when the first is lost."""
    subscription = Subscription("sub", events=[STREAM], key="resource", concurrency=2, timeout=None)
    gate = asyncio.Event()
    begun: list[str] = []

    @subscription.handler
    async def sync(event: Event) -> None:
        begun.append(event.id)
        await gate.wait()

    await bench.publish("a1@a")
    consumer = await bench.start(subscription)
    await eventually(lambda: len(begun) == 1)
    await bench.store.call(Lines(bench.keys, "sub").abandon("c1/", charged=False))  # as where its loop was blocked
    await eventually(lambda: len(begun) == 2)
    await consumer._heartbeat.extend()
    assert [held.lost for held in consumer.context.in_hand] == [True, False]
    gate.set()
