"""What the filter of a subscription skips: done at once and counted, and nothing else is done with it."""

import asyncio
from typing import Any

import pytest
from support.keyed_bench import SHORT, STREAM, Bench
from support.waiting import eventually

from workers import Coalesce, Delivery, Event, Retry, Subscription
from workers.operations.events import Browser
from workers.operations.figures import figures
from workers.operations.life import life

KINDS = pytest.mark.parametrize("options", [{}, {"key": "resource"}, {"per_company": 4}], ids=["plain", "key", "fair"])
"""However events get to the handler."""


def filtered(bench: Bench, where: Any = None, **options: Any) -> Subscription:
    """Return a subscription to one company's events."""
    retry = Retry(max_attempts=2, first_delay=0.01, max_delay=0.01)
    subscription = Subscription("sub", events=[STREAM], where=where or {"company_id": 51}, retry=retry, **options)
    subscription.handler(bench.handle)
    return subscription


def skipped(bench: Bench) -> float:
    """Return how many events were counted as skipped."""
    return bench.registry.get_sample_value("event_router_skipped_total", {"subscription": "sub"}) or 0.0


async def settled(bench: Bench, number: int) -> None:
    """Wait until so many were skipped, and nothing is on its way any more."""
    await eventually(lambda: skipped(bench) >= number)

    async def is_idle() -> bool:
        inbox = bench.keys.inbox(STREAM, "sub")
        (group,) = await bench.client.xinfo_groups(bench.keys.events(STREAM))
        pending = await bench.client.xpending(inbox, "sub")
        return not (group["lag"] or group["pending"] or await bench.client.xlen(inbox) or pending["pending"])

    await eventually(is_idle)


@KINDS
async def test_what_is_skipped_is_done(bench: Bench, options: dict[str, Any]) -> None:
    """The handler sees only what passes; the rest is done, counted, and neither attempted nor dead."""
    subscription = filtered(bench, **options)
    await bench.publish("a1", company="51")
    await bench.publish("b1", "b2", "b3", company="52")
    await bench.publish("a2", company="51")
    await bench.start(subscription)
    await bench.all_handled(2)
    await settled(bench, 3)
    assert bench.handled == ["a1", "a2"]
    assert skipped(bench) == 3
    await eventually(lambda: bench.count(subscription, "done") == 2)
    assert await bench.dead(subscription) == {}


async def test_a_busy_key_does_not_keep_what_is_skipped(bench: Bench) -> None:
    """While the handlers of a keyed subscription are busy, skipped events are done all the same: none needs a line."""
    subscription = Subscription("sub", events=[STREAM], where={"company_id": 51}, concurrency=1, key="company")
    busy, go_on = asyncio.Event(), asyncio.Event()

    @subscription.handler
    async def wait(_: Event) -> None:
        busy.set()
        await go_on.wait()

    await bench.publish("a1", company="51")
    await bench.start(subscription)
    await busy.wait()
    await bench.publish(*(f"b{number}" for number in range(60)), company="52")
    await eventually(lambda: skipped(bench) == 60)
    go_on.set()


async def test_a_batch_has_only_what_passes(bench: Bench) -> None:
    """A batch handler sees only what passes, and a batch is as large as it would be with nothing else there."""
    subscription = Subscription("sub", events=[STREAM], where={"company_id": 51}, batch_size=3, batch_wait=30)
    batches: list[list[str]] = []

    @subscription.handler
    async def take(events: list[Event]) -> None:
        batches.append([event.id for event in events])

    for number in range(3):
        await bench.publish(f"a{number}", company="51")
        await bench.publish(f"b{number}", company="52")
    await bench.start(subscription)
    await eventually(lambda: batches)
    assert batches == [["a0", "a1", "a2"]]
    await eventually(lambda: skipped(bench) == 3)


async def test_a_skipped_event_is_not_merged_and_holds_nothing_up(bench: Bench) -> None:
    """No event is merged into one that is skipped, and none waits for it to be quiet or for its key."""
    coalesce = Coalesce(quiet=0.3, within=30)
    subscription = Subscription("sub", events=[STREAM], key="resource", coalesce=coalesce, where={"company_id": 51})
    seen: list[tuple[str, list[str]]] = []

    @subscription.handler
    async def take(delivery: Delivery) -> None:
        seen.append((delivery.event.id, [merged.id for merged in delivery.merged]))

    await bench.start(subscription)
    await bench.publish("a1@x", "a2@x", company="51")
    number = 0
    while not seen:  # of the same resource, and more often than the quiet time
        await bench.publish(f"b{number}@x", company="52")
        number += 1
        await asyncio.sleep(0.02)
    assert seen == [("a2", ["a1"])]
    await eventually(lambda: skipped(bench) == number)


@KINDS
async def test_what_is_skipped_is_known(bench: Bench, options: dict[str, Any]) -> None:
    """The store knows how many events were skipped, and of an event that is done whether it was skipped."""
    subscription = filtered(bench, **options)
    consumer = await bench.start(subscription)
    await bench.publish("a1", company="51")
    await bench.publish("b1", company="52")
    await bench.all_handled(1)
    await settled(bench, 1)
    await bench.stop(consumer)
    places = {}
    for id_ in ("a1", "b1"):
        stored = await Browser(bench.store, bench.catalogue).find(id_)
        assert stored is not None
        (place,) = (await life(bench.store, stored)).subscriptions
        places[id_] = (place.state, place.skipped)
    assert places == {"a1": ("done", False), "b1": ("done", True)}
    (row,) = (await figures(bench.store, bench.catalogue, 15)).rows
    assert (row.name, row.skipped, str(row.filter and row.filter.where)) == ("sub", 1, '{"company_id": 51}')


@KINDS
async def test_a_replay_of_what_is_skipped_is_skipped(bench: Bench, options: dict[str, Any]) -> None:
    """An event that comes once more, by a replay or from a worker that died, is skipped as it was before."""
    subscription = filtered(bench, **options)
    await bench.publish("b1", company="52")
    await bench.start(subscription)
    await settled(bench, 1)
    (entry,) = await bench.client.xrange(bench.keys.events(STREAM))
    for more in ({b"generation": b"1-1"}, {b"crashes": b"9"}):
        await bench.client.xadd(bench.keys.inbox(STREAM, "sub"), {**entry[1], **more})
    await settled(bench, 3)
    assert bench.handled == []
    assert await bench.dead(subscription) == {}


@KINDS
async def test_what_was_tried_is_not_judged_again(bench: Bench, options: dict[str, Any]) -> None:
    """A retry was judged when its event came: it is handled to its end, whatever the filter is by now."""
    subscription = filtered(bench, **options)
    await bench.publish("b1", company="52")
    ((entry_id, fields),) = await bench.client.xrange(bench.keys.events(STREAM))
    await bench.client.xadd(bench.keys.inbox(STREAM, "sub"), {**fields, b"attempts": b"1", b"order": entry_id})
    await bench.start(subscription)
    await settled(bench, 1)
    await bench.all_handled(1)
    assert bench.handled == ["b1"]


@KINDS
async def test_what_cannot_be_read_ends_as_without_a_filter(bench: Bench, options: dict[str, Any]) -> None:
    """An entry that is no event is a dead letter with its reason: a filter has nothing to judge there."""
    subscription = filtered(bench, **options)
    await bench.client.xadd(bench.keys.events(STREAM), {b"id": b"x", b"raw": b"no JSON"})
    await bench.publish("a1", company="51")
    await bench.start(subscription)
    await bench.all_handled(1)

    async def is_dead() -> bool:
        return bool(await bench.dead(subscription))

    await eventually(is_dead)
    assert "cannot be read" in (await bench.dead(subscription))["x"]["reason"]
    assert skipped(bench) == 0


async def test_no_key_is_made_for_what_is_skipped(bench: Bench) -> None:
    """A key function is not called for a skipped event: what it would make of it harms nobody."""

    def key(event: Event) -> str:
        if event.company_id != "51":
            raise ValueError(event.company_id)
        return "k"

    subscription = filtered(bench, key=key)
    await bench.publish("b1", "b2", company="52")
    await bench.publish("a1", company="51")
    await bench.start(subscription)
    await bench.all_handled(1)
    await settled(bench, 2)
    assert await bench.dead(subscription) == {}


@pytest.mark.parametrize("options", [{}, {"key": "resource"}], ids=["plain", "key"])
async def test_a_worker_that_dies_leaves_nothing_half_skipped(bench: Bench, options: dict[str, Any]) -> None:
    """Where a worker dies before the store knows that an event was skipped, the next one skips it."""
    subscription = filtered(bench, **options)
    first = await bench.start(subscription, lease=SHORT)
    settling = first._settler._run
    stopped = asyncio.Event()

    async def hang(steps: Any) -> None:
        stopped.set()
        await asyncio.Event().wait()
        await settling(steps)

    first._settler._run = hang  # type: ignore[method-assign]
    await bench.publish("b1", company="52")
    if not options:
        await stopped.wait()
    await bench.kill(first)
    await bench.start(subscription, "c2", lease=SHORT, sweep_interval=SHORT)
    await settled(bench, 1)
    assert bench.handled == []
    assert await bench.dead(subscription) == {}


async def test_lines_know_what_was_skipped_as_brought(bench: Bench) -> None:
    """The place of a skipped entry is noted with the others: another leader begins behind it, on a Cluster as well."""
    subscription = filtered(bench, key="resource")
    await bench.publish("a1", company="51")
    await bench.publish("b1", company="52")
    first = await bench.start(subscription)
    await settled(bench, 1)
    await bench.stop(first)
    (*_, (last, _)) = await bench.client.xrange(bench.keys.events(STREAM))
    lines = await bench.lines(subscription)
    millis, number = last.decode().split("-")
    assert lines["read"][bench.keys.events(STREAM).encode()].decode() == f"{int(millis):020}-{int(number):020}"
    await bench.start(subscription, "c2")
    await bench.publish("a2", company="51")
    await bench.all_handled(2)
    assert skipped(bench) == 1
