"""Globs that were narrowed: what is left of the streams that they leave out stays where it is, keyed or not."""

import asyncio
from typing import Any

import pytest
from support.keyed_bench import SLUG, STREAM, Bench
from support.waiting import eventually

from workers import Coalesce, Delivery, Event, Subscription
from workers.consuming import left_out

CREATED = f"{SLUG}/customer_created"


def subscription(bench: Bench, *events: str, **options: Any) -> Subscription:
    """Return a subscription to these streams whose handler the bench has."""
    found = Subscription("sub", events=events, **options)
    found.handler(bench.handle)
    return found


async def interrupted(bench: Bench, number: int, **options: Any) -> None:
    """Have a worker of both streams begin, with so many events in its hands, and stop before it has handled any."""
    wide = Subscription("sub", events=[STREAM, CREATED], **options)

    @wide.handler
    async def never(event: Event) -> None:
        await asyncio.Event().wait()

    consumer = await bench.start(wide, "wide", shutdown_timeout=0.1)
    await eventually(lambda: len(consumer.context.in_hand) == number)
    await bench.stop(consumer)


async def next_millisecond(bench: Bench) -> None:
    """Wait until what comes is later than what has come."""
    last = (await bench.client.xinfo_stream(bench.keys.events(STREAM)))["last-generated-id"]

    async def is_over() -> bool:
        seconds, micros = await bench.client.time()
        return bool(seconds * 1000 + micros // 1000 > int(last.split(b"-")[0]))

    await eventually(is_over)


async def inbox(bench: Bench) -> list[str]:
    """Return the events in the inbox of the stream that is left out."""
    entries = await bench.client.xrange(bench.keys.inbox(CREATED, "sub"))
    return [fields[b"id"].decode() for _, fields in entries]


@pytest.mark.parametrize("key", [None, "resource"])
async def test_events_of_a_stream_that_is_left_out_wait(
    bench: Bench, key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody handles them, their worker says so, and nothing waits for them; named again, they are handled, once."""
    monkeypatch.setattr(left_out, "_AGAIN", 0.05)
    await bench.publish("a1@a", stream=CREATED)
    await bench.publish("a2@a", "b1@b")
    await interrupted(bench, 3 if key is None else 2, key=key)
    consumer = await bench.start(subscription(bench, STREAM, key=key), "narrow")
    await bench.publish("a3@a")
    await bench.all_handled(3)
    await eventually(lambda: not consumer.context.in_hand)
    left = f"1 unfinished on streams that its events leave out ({CREATED} 1)"
    await eventually(lambda: left in consumer.warning)  # 2 while it is in two places, on its way to the inbox
    await bench.stop(consumer)
    assert sorted(bench.handled) == ["a2", "a3", "b1"]
    assert await inbox(bench) == ["a1"]
    await bench.start(subscription(bench, STREAM, CREATED, key=key), "again")
    await bench.all_handled(4)
    assert bench.handled[3:] == ["a1"]
    await eventually(lambda: _is_empty(bench))


async def _is_empty(bench: Bench) -> bool:
    return not await inbox(bench)


async def test_a_stream_that_is_named_again_has_its_events_in_their_places(bench: Bench) -> None:
    """What waited comes before the later events of its key that still wait; a Cluster brings each stream by itself."""
    await bench.publish("a1@a", stream=CREATED)
    await interrupted(bench, 1, key="resource")
    narrow = await bench.start(subscription(bench, STREAM, key="resource"), "narrow")
    await eventually(lambda: inbox(bench))
    await bench.stop(narrow)
    await bench.publish("a2@a", "a3@a")
    await bench.start(subscription(bench, STREAM, CREATED, key="resource"), "again")
    await bench.all_handled(3)
    if bench.store.cluster:
        assert [id_ for id_ in bench.handled if id_ != "a1"] == ["a2", "a3"]
    else:
        assert bench.handled == ["a1", "a2", "a3"]


async def test_what_was_merged_into_an_event_that_is_left_out_is_handled(bench: Bench) -> None:
    """An event of a stream that is left out takes nothing with it that is of another one."""
    merging = Coalesce(quiet=0.01, within=0.01)
    await bench.publish("a1@a", "a2@a")
    await next_millisecond(bench)
    await bench.publish("a3@a", stream=CREATED)
    await interrupted(bench, 1, key="resource", coalesce=merging)
    merged: list[tuple[str, list[str]]] = []
    narrow = Subscription("sub", events=[STREAM], key="resource", coalesce=merging)

    @narrow.handler
    async def sync(delivery: Delivery) -> None:
        merged.append((delivery.event.id, [event.id for event in delivery.merged]))

    await bench.start(narrow, "narrow")
    await bench.emptied(narrow)
    assert merged == [("a2", ["a1"])]
    assert await inbox(bench) == ["a3"]
