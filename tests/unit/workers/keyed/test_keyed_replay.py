"""Replays of events whose place in their stream is not known yet by their line, or is not known at all."""

import asyncio

from support.keyed_bench import SHORT, STREAM, Bench
from support.waiting import eventually

from router.store import scripts
from workers import DeadLetter, Delivery, Event, Subscription
from workers.keyed.entry import came_at, order_of, ref_of

NAMES = [f"a{number:02}" for number in range(15)]


def test_what_came_into_the_inbox_first_stands_first() -> None:
    """Of replays without a known place the one that came into the inbox first comes first, as numbers compare."""
    refs = [
        ref_of(STREAM, entry_id, {b"at": b"1600000000000"}, inbox=True, may_be_merged=False)
        for entry_id in (b"999-2", b"1700000000000-9", b"1700000000000-10")
    ]
    assert refs == sorted(refs)
    assert {order_of(ref) for ref in refs} == {"1600000000000-0"}
    assert came_at(refs[1]).timestamp() == 1_700_000_000


async def replayed_in_order(bench: Bench) -> None:
    """Replay all dead letters, which one request brought, and see that a keyed worker handles them in order."""
    dead, inbox = bench.keys.dead(STREAM, "sub"), bench.keys.inbox(STREAM, "sub")
    await eventually(lambda: _count(bench, dead, len(NAMES)))
    letters = await bench.client.xrange(dead)
    assert len({fields[b"order"] for _, fields in letters}) == len(NAMES)
    ids = [entry_id for entry_id, _ in reversed(letters)]
    await bench.store.call(scripts.replay(dead, inbox, ids, "{}"))
    keyed = Subscription("sub", events=[STREAM], key="resource")
    keyed.handler(bench.handle)
    await bench.start(keyed, "keyed", lease=SHORT)
    await bench.all_handled(len(NAMES))
    assert bench.handled == NAMES


async def _count(bench: Bench, stream: str, number: int) -> bool:
    return bool(await bench.client.xlen(stream) == number)


async def test_dead_letters_of_a_key_function_keep_their_place(bench: Bench) -> None:
    """Events of which the key could not be made are handled in the order of their stream once they are replayed."""

    def key(event: Event) -> str:
        raise ValueError(event.id)

    broken = Subscription("sub", events=[STREAM], key=key)
    broken.handler(bench.handle)
    await bench.publish(*(f"{name}@a" for name in NAMES))
    consumer = await bench.start(broken, "broken")
    await eventually(lambda: _count(bench, bench.keys.dead(STREAM, "sub"), len(NAMES)))
    await bench.emptied(broken)
    await bench.stop(consumer)
    await replayed_in_order(bench)


async def test_dead_letters_of_a_subscription_without_a_key_keep_their_place(bench: Bench) -> None:
    """A subscription that is given a key handles what was dead before in the order of its stream."""
    unkeyed = Subscription("sub", events=[STREAM])

    @unkeyed.handler
    async def fail(delivery: Delivery) -> None:
        raise DeadLetter(delivery.event.id)

    await bench.publish(*(f"{name}@a" for name in NAMES))
    consumer = await bench.start(unkeyed, "unkeyed")
    await eventually(lambda: _count(bench, bench.keys.dead(STREAM, "sub"), len(NAMES)))
    await bench.stop(consumer)
    await replayed_in_order(bench)


async def test_what_a_dead_worker_had_keeps_its_place(bench: Bench) -> None:
    """What an unkeyed worker had in hand when it was killed has its place in the inbox, and what is dead then, too."""
    unkeyed = Subscription("sub", events=[STREAM], concurrency=len(NAMES))
    begun: list[str] = []

    @unkeyed.handler
    async def wait(delivery: Delivery) -> None:
        begun.append(delivery.event.id)
        await asyncio.Event().wait()

    await bench.publish(*(f"{name}@a" for name in NAMES))
    dying = await bench.start(unkeyed, "dying", lease=SHORT)
    await eventually(lambda: len(begun) == len(NAMES))
    await bench.kill(dying)
    inbox = bench.keys.inbox(STREAM, "sub")
    events = bench.keys.events(STREAM)
    call = scripts.recover(events, inbox, "sub", "dying", 0, "{}")
    await bench.store.call(call)
    places = [fields[b"order"] for _, fields in await bench.client.xrange(inbox)]
    assert places == [entry_id for entry_id, _ in await bench.client.xrange(events)]
