"""A subscription that is given a key, or loses it, takes along what is not finished."""

import asyncio
from typing import Any

import pytest
from support.keyed_bench import SHORT, SLUG, STREAM, Bench
from support.waiting import eventually

from router.store import scripts
from router.store.lines import Lines
from workers import Coalesce, DeadLetter, Delivery, Retry, RetryLater, Subscription
from workers.keyed.leftover import Leftover

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
    old = await bench.start(before.subscription(concurrency=1), "old", shutdown_timeout=SHORT)
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


async def test_what_waits_in_the_lines_is_handled_without_a_key(bench: Bench) -> None:
    """An unkeyed worker takes along what waits, runs with a dead worker, waits for more or for an operator.

    Afterwards nothing of the lines is left.
    """
    before, after = Gate(), Gate()
    after.open.set()
    keyed = before.subscription(key="resource", coalesce=Coalesce(quiet=0.5, within=1), concurrency=2)
    dying = await bench.start(keyed, "old", lease=SHORT)
    names = [f"{key}{number}" for number in range(5) for key in "abcd"]
    await bench.publish(*(f"{name}@{name[0]}" for name in names))
    await eventually(lambda: len(before.begun) == 2)
    await bench.kill(dying)
    await bench.client.zadd(bench.keys.lines("sub")[9], {"a": 1, "nobody": 1})
    await bench.start(after.subscription(), "new", lease=SHORT)
    await eventually(lambda: set(after.ended) == set(names))
    await eventually(lambda: gone(bench))


async def test_a_key_that_is_held_is_let_go_without_a_key(bench: Bench) -> None:
    """Events behind one that is dead, with `after_dead="hold"`, are handled once the subscription has no key."""
    subscription = Subscription("sub", events=[STREAM], key="resource", after_dead="hold")

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        raise DeadLetter("no")

    await bench.publish("a1@a", "a2@a")
    old = await bench.start(subscription, "old")
    await eventually(lambda: bench.count(subscription, "dead") == 1)
    await bench.stop(old)
    after = Gate()
    after.open.set()
    await bench.start(after.subscription(), "new")
    await eventually(lambda: after.ended == ["a2"])
    await eventually(lambda: gone(bench))
    assert set(await bench.dead(subscription)) == {"a1"}


async def test_a_retry_waits_in_its_line_until_it_is_due(bench: Bench) -> None:
    """A retry that was put off while there was a key is handled when it is due, and what stands behind it then."""
    before, after = Gate(), Gate()
    after.open.set()
    before.open.set()
    before.later = {"a1"}
    await bench.publish("a1@a", "a2@a", "b1@b")
    keyed = before.subscription(key="resource")
    old = await bench.start(keyed, "old")
    await eventually(lambda: bench.count(keyed, "retried") == 1 and before.ended == ["b1"])
    await bench.stop(old)
    await bench.start(after.subscription(), "new", sweep_interval=SHORT)
    await bench.publish("c1@c")
    await eventually(lambda: after.ended == ["c1"])
    due = bench.keys.lines("sub")[4]
    ((key, _),) = await bench.client.zrange(due, 0, -1, withscores=True)
    await bench.client.zadd(due, {key: 1})
    await eventually(lambda: after.ended == ["c1", "a1", "a2"])
    assert after.attempts["a1"] == 2
    await eventually(lambda: gone(bench))


@pytest.mark.long
@pytest.mark.parametrize("step", ["settle", "claim", "clear"])
async def test_a_worker_that_dies_while_it_empties_the_lines_loses_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Wherever a worker is killed that takes the events along, another takes the rest: all are handled."""
    before, after = Gate(), Gate()
    after.open.set()
    names = [f"{key}{number}" for number in range(3) for key in "abc"]
    await bench.publish(*(f"{name}@{name[0]}" for name in names))
    old = await bench.start(before.subscription(key="resource", concurrency=1), "old", lease=SHORT)
    await eventually(lambda: bench.lines_hold("sub", len(names)))
    before.open.set()
    await bench.kill(old)
    real = getattr(Lines, step)
    if step == "claim":  # done, and its reply lost
        await bench.store.call(Lines(bench.keys, "sub").claim("dying/1", 2, 300))
    died = asyncio.Event()

    def die(*_: Any, **__: Any) -> None:
        died.set()
        raise RuntimeError("killed")

    monkeypatch.setattr(Lines, step, die)
    dying = await bench.start(after.subscription(), "dying", lease=SHORT)
    await died.wait()
    monkeypatch.setattr(Lines, step, real)
    await bench.kill(dying)
    await bench.start(after.subscription(), "new", lease=SHORT)
    await eventually(lambda: set(after.ended) | set(before.ended) == set(names))
    await eventually(lambda: gone(bench))


async def test_lines_are_left_to_the_keyed_workers_that_live(bench: Bench) -> None:
    """While a worker of the keyed subscription lives, an unkeyed one takes nothing out of its lines."""
    before, after = Gate(), Gate()
    after.open.set()
    keyed = before.subscription(key="resource", concurrency=1)
    await bench.publish("a1@a", "a2@a", "a3@a")
    old = await bench.start(keyed, "old", lease=SHORT)
    await eventually(lambda: bench.lines_hold("sub", 3))
    await bench.start(after.subscription(), "new", lease=SHORT)
    before.open.set()
    await eventually(lambda: len(before.ended) == 3)
    assert not after.begun
    assert [id_ for id_ in before.ended if id_[0] == "a"] == ["a1", "a2", "a3"]
    await bench.stop(old)
    await eventually(lambda: gone(bench))


async def gone(bench: Bench) -> bool:
    """Return whether nothing of the lines is left."""
    return not await bench.client.exists(*bench.keys.lines("sub"))


async def test_what_one_inbox_refuses_is_moved_out_of_the_lines_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one inbox is no stream, what goes to the others is moved once, and the rest stays in the lines."""
    other = f"{SLUG}/customer_updated"
    before = Subscription("sub", events=[STREAM, other], key="resource")
    before.handler(bench.handle)
    await bench.store.call(scripts.pause(bench.keys.pause("sub"), bench.keys.halted("sub"), "pause", 0, "x", ""))
    consumer = await bench.start(before)
    await bench.publish("a1@a")
    await bench.publish("b1@b", stream=other)
    await eventually(lambda: bench.lines_hold("sub", 2))
    await bench.stop(consumer)
    spoilt, inbox = bench.keys.inbox(other, "sub"), bench.keys.inbox(STREAM, "sub")
    await bench.client.delete(spoilt)
    await bench.client.set(spoilt, "no stream")
    after = Subscription("sub", events=[STREAM, other])
    after.handler(bench.handle)
    looks = 0
    look = Leftover.look

    async def counted(leftover: Leftover) -> float:
        nonlocal looks
        try:
            return await look(leftover)
        finally:
            looks += 1

    monkeypatch.setattr(Leftover, "look", counted)
    await bench.start(after, "new", sweep_interval=0.1)
    await eventually(lambda: looks >= 3)
    assert await bench.client.xlen(inbox) == 1
    assert await bench.lines_hold("sub", 1)


async def test_what_was_handled_without_a_key_is_not_brought_into_lines_that_were_left(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subscription with a key again goes on behind what was handled meanwhile, on a Cluster too, once each."""
    monkeypatch.setattr(bench.store, "cluster", True)
    gate = Gate()
    gate.open.set()
    gate.later = {"a1"}
    keyed = gate.subscription(key="resource")
    await bench.publish("b1@b", "a1@a")
    first = await bench.start(keyed, "first")
    await eventually(lambda: bench.count(keyed, "retried") == 1 and gate.ended == ["b1"])
    await bench.stop(first)
    unkeyed = await bench.start(gate.subscription(), "unkeyed")
    await bench.publish("a2@a", "a3@a")
    await eventually(lambda: len(gate.ended) == 3)
    read = Lines(bench.keys, "sub").read

    async def forgotten() -> bool:
        return not await bench.client.exists(read)

    await eventually(forgotten)
    await bench.stop(unkeyed)
    await bench.start(keyed, "again")
    await bench.publish("c1@c")
    await eventually(lambda: "c1" in gate.ended)
    assert sorted(gate.ended) == ["a2", "a3", "b1", "c1"]
