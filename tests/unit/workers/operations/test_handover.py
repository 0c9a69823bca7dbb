"""Giving a subscription past events once more."""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from support.filling import CUSTOMERS, FINANCIAL, put_events, put_group, raw_of
from support.waiting import eventually

from config.settings import WorkerSettings
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import StoreRefused, StoreUnavailable
from workers import Delivery, Subscription
from workers.consuming.consumer import Consumer
from workers.metrics import WorkerMetrics
from workers.operations import handover
from workers.operations.audit import CHANGED, FAILED
from workers.operations.events import EventFilter, StoredEvent
from workers.operations.handover import BEFORE, Handover, NotSubscribed, Position, ReplayOptions

SUPPLIERS = f"{FINANCIAL}/supplier_changed"
STREAMS = [CUSTOMERS, SUPPLIERS]
GLOB = f"{FINANCIAL}/[cs]u*er_changed"


async def _put(store: Store, *entries: tuple[str, str, str]) -> None:
    """Put events with these ids at these entries of these streams."""
    for stream, entry_id, event_id in entries:
        fields: Any = {"id": event_id, "at": 1, "raw": raw_of(event_id, stream, resource=f"customer/{event_id}")}
        await store.client.xadd(store.keys.events(stream), fields, id=entry_id)


async def _give_all(store: Store, *streams: str) -> None:
    """Let `sync` have everything of these streams, and finish it."""
    for stream in streams or STREAMS:
        key = store.keys.events(stream)
        await store.client.execute_command("XREADGROUP", "GROUP", "sync", "w1", "STREAMS", key, ">")
        for entry_id, _ in await store.client.xrange(key):
            await store.client.execute_command("XACK", key, "sync", entry_id)


def _replay(
    store: Store, catalogue: Catalogue, after: Position | None = None, again: str = "", **wanted: Any
) -> Handover:
    """Return a replay of customers and suppliers to `sync`."""
    options = ReplayOptions(GLOB, after, again)
    return Handover(store, catalogue, "sync", EventFilter(**wanted), options)


async def _meant(store: Store, catalogue: Catalogue, after: Position | None = None, **wanted: Any) -> list[StoredEvent]:
    replay = _replay(store, catalogue, after=after, **wanted)
    await replay.settle()
    return [stored async for stored in replay.items()]


async def _ids(*args: Any, **wanted: Any) -> list[str]:
    return [stored.event.id for stored in await _meant(*args, **wanted) if stored.event]


@pytest.fixture
async def filled(store: Store) -> Store:
    """Return a store with five events in two streams, all of which `sync` has finished."""
    await put_group(store, "sync", *STREAMS)
    await _put(store, (CUSTOMERS, "1000-0", "a"), (SUPPLIERS, "2000-0", "b"), (CUSTOMERS, "3000-0", "c"))
    await _put(store, (SUPPLIERS, "3000-0", "d"), (CUSTOMERS, "4000-0", "e"))
    await _give_all(store)
    return store


async def test_what_is_meant(filled: Store, catalogue: Catalogue) -> None:
    """What a filter wants comes oldest first over all streams; of one id in the order of the streams."""
    assert await _ids(filled, catalogue) == ["a", "b", "c", "d", "e"]
    assert await _ids(filled, catalogue, resource="customer/[bd]") == ["b", "d"]
    assert await _ids(filled, catalogue, company="8") == []
    moments = {"since": datetime.fromtimestamp(2, UTC), "until": datetime.fromtimestamp(3, UTC)}
    assert await _ids(filled, catalogue, **moments) == ["b", "c", "d"]


async def test_what_was_not_given_yet_comes_anyway(filled: Store, catalogue: Catalogue) -> None:
    """What is behind the subscription's last delivery is left out: it would be handled twice for nothing."""
    await _put(filled, (CUSTOMERS, "5000-0", "new"))
    assert await _ids(filled, catalogue) == ["a", "b", "c", "d", "e"]
    assert await _ids(filled, catalogue, until=datetime.fromtimestamp(9, UTC)) == ["a", "b", "c", "d", "e"]


async def test_an_entry_that_is_no_event(filled: Store, catalogue: Catalogue) -> None:
    """What somebody wrote by hand and is no event is not given to anybody."""
    await filled.client.xadd(filled.keys.events(CUSTOMERS), {"x": "y"}, id="5000-0")
    await _give_all(filled)
    assert await _ids(filled, catalogue) == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("after", "ids"),
    [
        (Position("1000-0"), ["b", "c", "d", "e"]),
        (Position("3000-0"), ["e"]),
        (Position("3000-0", CUSTOMERS), ["d", "e"]),
        (Position("3000-0", SUPPLIERS), ["e"]),
        (Position("3000-0", "acme/orders"), ["e"]),
        (Position("4000-0"), []),
    ],
)
async def test_going_on(filled: Store, catalogue: Catalogue, after: Position, ids: list[str]) -> None:
    """Behind each position comes just what follows it, also where several streams have one id."""
    assert await _ids(filled, catalogue, after) == ids


async def test_every_position_is_followed_by_the_next(filled: Store, catalogue: Catalogue) -> None:
    """Wherever a replay ends, what is left is the rest: nothing is missed and nothing given twice."""
    meant = await _meant(filled, catalogue)
    for number, stored in enumerate(meant, 1):
        position = Position.parse(str(Position(stored.entry_id, stored.stream)))
        assert await _meant(filled, catalogue, position) == meant[number:]


@pytest.mark.parametrize("text", ["", "x", "1", "1-", "1-1-1", "a-b/c"])
def test_what_is_no_position(text: str) -> None:
    """What is no entry is said to be none."""
    with pytest.raises(ValueError, match="is no entry"):
        Position.parse(text)


async def test_who_does_not_subscribe(filled: Store, catalogue: Catalogue) -> None:
    """Nothing is given where nobody would read it; streams that the subscription does not have are named."""
    await put_group(filled, "audit")
    replay = Handover(filled, catalogue, "audit", EventFilter(), ReplayOptions(GLOB))
    await replay.settle()
    assert replay.left_out == [SUPPLIERS]
    with pytest.raises(NotSubscribed, match="audit subscribes to none of"):
        await Handover(filled, catalogue, "audit", EventFilter(), ReplayOptions(SUPPLIERS)).settle()


async def _inbox(store: Store) -> list[str]:
    found = [await store.client.xrange(store.keys.inbox(stream, "sync")) for stream in STREAMS]
    return sorted(fields[b"id"].decode() for entries in found for _, fields in entries)


async def test_a_replay_is_safe_to_repeat(filled: Store, catalogue: Catalogue) -> None:
    """What a replay has given is not given again, whatever became of it; only what came since is."""
    assert (await _replay(filled, catalogue).run()).changed == 5
    await filled.client.xtrim(filled.keys.inbox(CUSTOMERS, "sync"), maxlen=0)
    await _put(filled, (CUSTOMERS, "5000-0", "new"))
    await _give_all(filled)
    result = await _replay(filled, catalogue).run()
    assert (result.matched, result.changed, result.counts[BEFORE], result.failed) == (6, 1, 5, 0)
    assert await _inbox(filled) == ["b", "d", "new"]


async def test_one_selection_in_another_is_not_given_twice(filled: Store, catalogue: Catalogue) -> None:
    """It is known of each event: another command that selects some of the same events gives those that are left."""
    assert (await _replay(filled, catalogue, resource="customer/[bd]").run()).changed == 2
    assert (await _replay(filled, catalogue).run()).counts[BEFORE] == 2
    assert await _inbox(filled) == ["a", "b", "c", "d", "e"]


async def test_a_new_replay_has_a_name(filled: Store, catalogue: Catalogue) -> None:
    """A replay of another name gives all of it again, once: it is safe to repeat by its name."""
    await _replay(filled, catalogue).run()
    for changed in (5, 0):
        assert (await _replay(filled, catalogue, again="the second mend").run()).changed == changed
    assert (await _replay(filled, catalogue, again="the third").run()).changed == 5
    assert len(await _inbox(filled)) == 15


async def test_two_replays_at_once(filled: Store, catalogue: Catalogue) -> None:
    """Two that run at the same time give each event once between them."""
    results = await asyncio.gather(*(_replay(filled, catalogue).run(rate=1000) for _ in range(2)))
    assert sum(result.changed for result in results) == 5
    assert await _inbox(filled) == ["a", "b", "c", "d", "e"]


async def test_what_was_given_is_remembered_for_a_while(
    filled: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is known for a week at least and for two at most, however often there are replays."""
    now, week = time.time(), 7 * 86_400
    await _replay(filled, catalogue).run()
    key = filled.keys.replayed(CUSTOMERS, "sync", int(now) // week)
    assert 13 * 86_400_000 < await filled.client.pttl(key) <= 14 * 86_400_000
    monkeypatch.setattr(handover.time, "time", lambda: now + week)
    assert (await _replay(filled, catalogue).run()).changed == 0
    monkeypatch.setattr(handover.time, "time", lambda: now + 2 * week)
    assert (await _replay(filled, catalogue).run()).changed == 5


async def test_clocks_that_differ(filled: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is given twice where the clock of the second operator is still in the week before that of the first."""
    week = 7 * 86_400
    sunday = time.time() // week * week - 1
    monkeypatch.setattr(handover.time, "time", lambda: sunday + 2)
    assert (await _replay(filled, catalogue).run()).changed == 5
    monkeypatch.setattr(handover.time, "time", lambda: sunday)
    result = await _replay(filled, catalogue).run()
    assert (result.changed, result.counts[BEFORE]) == (0, 5)


async def test_a_subscription_that_has_gone(filled: Store, catalogue: Catalogue) -> None:
    """One that is removed meanwhile is given nothing, and no inbox is left of it."""
    replay = _replay(filled, catalogue)
    await replay.preview()
    for stream in STREAMS:
        await filled.client.delete(filled.keys.inbox(stream, "sync"))
    result = await replay.run()
    assert (result.changed, result.failed) == (0, 5)
    assert await filled.client.exists(filled.keys.inbox(CUSTOMERS, "sync")) == 0


async def test_what_was_trimmed_meanwhile(filled: Store, catalogue: Catalogue) -> None:
    """An event that is not in its stream any more is neither given nor a failure."""
    replay = _replay(filled, catalogue)
    meant = await _meant(filled, catalogue)
    await filled.client.xdel(filled.keys.events(CUSTOMERS), "1000-0")
    assert await replay.apply(meant) == Counter({CHANGED: 4})


async def test_store_away(filled: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not answer is an error; one that refuses is counted."""
    meant = await _meant(filled, catalogue)
    replay = _replay(filled, catalogue)

    async def refusing(calls: Any) -> list[Any]:
        return [StoreRefused("OOM"), [1, 0]][: len(calls)]

    monkeypatch.setattr(filled, "run", refusing)
    assert await replay.apply(meant) == Counter({CHANGED: 1, FAILED: 3})

    async def away(calls: Any) -> list[Any]:
        return [ConnectionError("refused")] * len(calls)

    monkeypatch.setattr(filled, "run", away)
    with pytest.raises(StoreUnavailable):
        await replay.apply(meant)


async def test_a_worker_handles_them_once_more(store: Store, catalogue: Catalogue) -> None:
    """Each comes to the subscription once more, as a first attempt without errors, and to no other."""
    seen: dict[str, list[Delivery]] = {"sync": [], "other": []}
    consumers = []
    for name, found in seen.items():
        subscription = Subscription(name, events=[CUSTOMERS])

        async def handle(delivery: Delivery, found: list[Delivery] = found) -> None:
            found.append(delivery)

        subscription.handler(handle)
        metrics = WorkerMetrics(CollectorRegistry())
        settings = WorkerSettings(lease=60, block=0.1)
        consumers.append(Consumer(subscription, "w1", store, catalogue, settings, metrics))
        await consumers[-1].start()
    names = [f"e{number}" for number in range(250)]
    for start in range(0, 250, 50):
        await put_events(store, *names[start : start + 50])
    await eventually(lambda: all(len(found) == 250 for found in seen.values()))
    result = await Handover(store, catalogue, "sync", EventFilter(), ReplayOptions(CUSTOMERS)).run(reason="again")
    assert (result.matched, result.changed, result.failed) == (250, 250, 0)
    await eventually(lambda: len(seen["sync"]) == 500)
    for consumer in consumers:
        await consumer.stop()
    assert sorted(delivery.event.id for delivery in seen["sync"]) == sorted(names * 2)
    assert {(delivery.attempt, delivery.errors) for delivery in seen["sync"]} == {(1, ())}
    assert len(seen["other"]) == 250
