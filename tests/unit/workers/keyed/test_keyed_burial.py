"""Dead letters of keyed subscriptions: each event has one, and only for itself and what it names."""

import asyncio
from collections.abc import Sequence

import pytest
from support.keyed_bench import STREAM, Bench
from support.waiting import eventually

from config.settings import Settings
from router.events.event import Event
from router.store import scripts
from workers import Coalesce, Delivery, Retry, Subscription
from workers.consuming.consumer import Consumer
from workers.consuming.moves import Step
from workers.operations.removal import Removal

ONCE = Retry(max_attempts=1)


def keyless(event: Event) -> str:
    """Fail to make a key."""
    raise ValueError(event.id)


@pytest.mark.parametrize("key", ["resource", keyless])
async def test_a_subscription_that_was_removed_and_begins_anew_has_its_dead_letters(bench: Bench, key: str) -> None:
    """What fails in its second life is dead again: the dead letters of the first, removed with it, do not count."""
    subscription = Subscription("sub", events=[STREAM], key=key, retry=ONCE)

    @subscription.handler
    async def sync(event: Event) -> None:
        raise ValueError(event.id)

    await bench.publish("a1@a", "b1@b")
    for life in ("first", "second"):
        consumer = await bench.start(subscription, life)

        async def all_dead() -> bool:
            return set(await bench.dead(subscription)) == {"a1", "b1"}

        await eventually(all_dead)
        await bench.emptied(subscription)
        await bench.stop(consumer)
        letters = await bench.dead(subscription)
        assert not any("burial" in letter for letter in letters.values())
        await Removal(bench.store, bench.catalogue, Settings(), "sub", dead_letters=True).run()
        assert await bench.dead(subscription) == {}


def die_after(consumer: Consumer, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a worker do so many of the steps of a dead letter, and then nothing more."""
    run, left = consumer._settler._run, [steps]

    async def cut(batch: Sequence[Step]) -> None:
        done: Sequence[Step | None] = batch
        while any(step and step.outcome == "dead" for step in done):
            for _ in range(left[0]):
                await bench_run(consumer, done)
                done = [step.then if step else None for step in done]
            await asyncio.Event().wait()
        await run(batch)  # type: ignore[arg-type]

    monkeypatch.setattr(consumer._settler, "_run", cut)


async def bench_run(consumer: Consumer, steps: Sequence[Step | None]) -> None:
    """Run the calls of steps."""
    await consumer.context.store.run([step.call for step in steps if step])


@pytest.mark.parametrize("steps", [1, 2])
async def test_an_event_that_a_dead_letter_does_not_name_is_handled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """An older event, replayed after a newer one of its key was noted to be dead, does not end with that."""
    seen: list[str] = []
    subscription = Subscription(
        "sub", events=[STREAM], key="resource", coalesce=Coalesce(quiet=0, within=0), retry=ONCE
    )

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        seen.append(delivery.event.id)
        if delivery.event.id == "a2":
            raise ValueError(delivery.event.id)

    await bench.publish("a1@a")
    first = await bench.start(subscription, "first")
    await eventually(lambda: seen)
    await bench.emptied(subscription)
    die_after(first, steps, monkeypatch)
    await bench.publish("a2@a")

    async def is_doomed() -> bool:
        letters = bool(await bench.dead(subscription)) or steps == 1
        return letters and any(
            b"reason" in body for body in (await bench.lines(subscription)).get("bodies", {}).values()
        )

    await eventually(is_doomed)
    await bench.kill(first)
    await replay_first(bench, subscription)
    seen.clear()
    await bench.client.delete(bench.keys.lines("sub")[14])  # the lease of bringing, instead of waiting for its end
    second = await bench.start(subscription, "second")
    await eventually(lambda: bench.lines_hold("sub", 2))
    await bench.stop(second)
    await bench.start(subscription, "first", returning=True)
    await bench.emptied(subscription)
    letters = await bench.dead(subscription)
    assert (seen, set(letters)) == (["a1"], {"a2"})
    assert "merged" not in letters["a2"]
    assert await bench.client.xlen(bench.keys.dead(STREAM, "sub")) == 1


async def replay_first(bench: Bench, subscription: Subscription) -> None:
    """Replay the first event of the stream."""
    ((entry, _), *_) = await bench.client.xrange(bench.keys.events(STREAM))
    events, inbox = bench.keys.events(STREAM), bench.keys.inbox(STREAM, subscription.name)
    noted = [bench.keys.replayed(STREAM, subscription.name, 1)]
    await bench.store.call(scripts.hand_over(events, inbox, noted, subscription.name, "{}", "", 60_000, [entry]))
