"""What a delivery that stands for others knows of them: how often they were tried, and what they stood for before."""

import json
from collections.abc import Sequence

from support.keyed_bench import STREAM, Bench
from support.waiting import eventually

from router.store import scripts
from router.store.lines import Lines
from workers import Coalesce, Defer, Delivery, Retry, Subscription
from workers.consuming.consumer import Consumer


def merging(most: int = 500, attempts: int = 1) -> Subscription:
    """Return a subscription that merges whatever waits."""
    coalesce = Coalesce(quiet=0, within=0, most=most)
    retry = Retry(max_attempts=attempts, first_delay=0.001, max_delay=0.001)
    return Subscription("sub", events=[STREAM], key="resource", coalesce=coalesce, retry=retry)


def names_of(letter: dict[str, str]) -> list[str]:
    """Return the ids of the events that a dead letter stands for besides its own."""
    return [id_ for id_, *_ in json.loads(letter.get("merged", "[]"))]


async def replay(bench: Bench) -> None:
    """Replay all dead letters."""
    dead = bench.keys.dead(STREAM, "sub")
    entries = [entry for entry, _ in await bench.client.xrange(dead)]
    await bench.store.call(scripts.replay(dead, bench.keys.inbox(STREAM, "sub"), entries, "{}"))


async def test_a_burst_does_not_have_its_key_tried_for_ever(bench: Bench) -> None:
    """Each attempt of a key that goes on failing counts, also where newer events came since: it ends dead."""
    seen: list[tuple[str, int, int]] = []
    subscription = merging(attempts=4)

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        seen.append((delivery.event.id, delivery.attempt, len(delivery.errors)))
        if len(seen) < 10:
            await bench.publish(f"a{len(seen)}@a")
            await eventually(lambda: bench.lines_hold("sub", len(delivery.merged) + 2))
        raise ValueError(delivery.event.id)

    await bench.publish("a0@a")
    await bench.start(subscription)

    async def is_dead() -> bool:
        return bool(await bench.dead(subscription))

    await eventually(is_dead)
    assert seen[:4] == [(f"a{number}", number + 1, number) for number in range(4)]
    letter = (await bench.dead(subscription))["a3"]
    assert names_of(letter) == ["a0", "a1", "a2"]
    assert [json.loads(line)["message"] for line in letter["history"].splitlines()] == ["a0", "a1", "a2", "a3"]


async def test_a_burst_does_not_have_its_key_deferred_for_ever(bench: Bench) -> None:
    """Each deferral of a key counts, and from the first one on, also where newer events came since."""
    seen: list[tuple[str, int]] = []
    subscription = merging()

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        seen.append((delivery.event.id, delivery.deferred))
        if len(seen) < 4:
            await bench.publish(f"a{len(seen)}@a")
            await eventually(lambda: bench.lines_hold("sub", len(delivery.merged) + 2))
            raise Defer(0.001)

    await bench.publish("a0@a")
    await bench.start(subscription)
    await eventually(lambda: len(seen) > 3)
    await bench.emptied(subscription)
    assert seen == [(f"a{number}", number) for number in range(4)]


async def test_what_comes_after_a_dead_letter_begins_anew(bench: Bench) -> None:
    """An event that a dead letter does not stand for has all its attempts."""
    seen: list[int] = []
    subscription = merging(attempts=2)

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        seen.append(delivery.attempt)
        raise ValueError(delivery.event.id)

    await bench.start(subscription)
    for number, name in enumerate("ab", 1):
        await bench.publish(f"{name}@a")
        await eventually(lambda: len(seen) == 2 * number)  # noqa: B023 - awaited at once
        await bench.emptied(subscription)
    assert seen == [1, 2, 1, 2]


async def test_a_replay_that_is_merged_again_keeps_the_names_of_what_it_stood_for(bench: Bench) -> None:
    """However often a dead letter is replayed and merged into a newer event, that stands for all, done or dead."""
    seen: list[tuple[str, Sequence[str]]] = []
    fails = [True]
    subscription = merging()

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        seen.append((delivery.event.id, [merged.id for merged in delivery.merged]))
        if fails:
            raise ValueError(delivery.event.id)

    await bench.publish("a1@a", "a2@a", "a3@a")
    for newest in ("a3", "a4", "a5"):
        if newest != "a3":
            await bench.publish(f"{newest}@a")
            await replay(bench)
        names = [f"a{number}" for number in range(1, int(newest[1]))]
        consumer = await start_with(bench, subscription, 3 if newest == "a3" else 2)

        async def is_dead() -> bool:
            return set(await bench.dead(subscription)) == {newest}  # noqa: B023 - awaited at once

        await eventually(is_dead)
        await bench.emptied(subscription)
        await bench.stop(consumer)
        assert seen[-1] == (newest, names)
        assert names_of((await bench.dead(subscription))[newest]) == names
    fails.clear()
    await replay(bench)
    await start_with(bench, subscription, 1)
    await bench.emptied(subscription)
    assert seen[3:] == [("a5", ["a1", "a2", "a3", "a4"])]


async def start_with(bench: Bench, subscription: Subscription, events: int) -> Consumer:
    """Start a consumer that handles nothing before so many events are in its lines."""
    lines = Lines(bench.keys, subscription.name)
    await bench.store.call(lines.stop(b"1", 0))
    consumer = await bench.start(subscription)
    await eventually(lambda: bench.lines_hold("sub", events))
    await bench.store.call(lines.resume(b"1"))
    return consumer
