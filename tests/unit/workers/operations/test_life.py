"""The life of an event: what is known of it, from what the store holds."""

from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from support.filling import CUSTOMERS, history, put_dead, put_events, put_group, raw_of
from support.servers import starting
from support.stores import real_store as on_real_server

from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import StoreRefused
from workers.deferrals import Deferrals
from workers.operations.events import Browser, StoredEvent
from workers.operations.life import Life, Place, life


@pytest.fixture
async def stored(store: Store, catalogue: Catalogue) -> StoredEvent:
    """Return one event of a stream, with another before and behind it."""
    await put_events(store, "before", "e1", "behind")
    found = await Browser(store, catalogue).find("e1")
    assert found is not None
    return found


async def _read(store: Store, key: str, count: int) -> None:
    await store.client.execute_command("XREADGROUP", "GROUP", "sync", "w1", "COUNT", count, "STREAMS", key, ">")


async def _ack(store: Store, entry_id: str) -> None:
    await store.client.execute_command("XACK", store.keys.events(CUSTOMERS), "sync", entry_id)


async def _finish(store: Store, stored: StoredEvent) -> None:
    """Let `sync` be given the event and be done with it."""
    await put_group(store, "sync")
    await _read(store, store.keys.events(CUSTOMERS), 2)
    await _ack(store, stored.entry_id)


def _copy(**fields: Any) -> dict[str, Any]:
    return {"id": "e1", "at": 1, "raw": raw_of("e1"), **fields}


async def _place(store: Store, stored: StoredEvent) -> Place:
    (place,) = (await life(store, stored)).subscriptions
    return place


async def test_an_event_nobody_wants(store: Store, stored: StoredEvent) -> None:
    """Without subscriptions, what is known is the entry and when it was written."""
    found = await life(store, stored)
    assert found == Life(stored.entry_id, found.stored_at, 0, subscriptions=())
    assert int(found.stored_at.timestamp() * 1000) == int(stored.entry_id.partition("-")[0])


async def test_duplicates_are_counted(store: Store, catalogue: Catalogue, stored: StoredEvent) -> None:
    """Every refusal counts, the event stays found, and the marker's time is not prolonged."""
    marker = store.keys.seen(CUSTOMERS, "e1")
    await store.client.pexpire(marker, 5_000)
    for expected in range(1, 13):
        await put_events(store, "e1", "before")
        assert (await life(store, stored)).duplicates == expected
    assert 0 < await store.client.pttl(marker) <= 5_000
    again = await Browser(store, catalogue).find("e1")
    assert again is not None
    assert again.entry_id == stored.entry_id


@pytest.mark.parametrize("value", ["", "nonsense", "1-1 x", "99-0"])
async def test_a_marker_of_something_else(store: Store, stored: StoredEvent, value: str) -> None:
    """A marker that cannot be read, or is another entry's, says nothing of this one; nor does one that is gone."""
    marker = store.keys.seen(CUSTOMERS, "e1")
    await store.client.set(marker, value)
    assert (await life(store, stored)).duplicates is None
    await store.client.delete(marker)
    assert (await life(store, stored)).duplicates is None


async def test_undelivered(store: Store, stored: StoredEvent) -> None:
    """What is behind the group's last delivery was not delivered yet, and not attempted."""
    await put_group(store, "sync")
    await _read(store, store.keys.events(CUSTOMERS), 1)
    assert await _place(store, stored) == Place("sync", "undelivered", 0)


async def test_pending(store: Store, stored: StoredEvent) -> None:
    """What a worker has in hand says which worker, how often it was handed out, and when the hold was renewed."""
    await put_group(store, "sync")
    await _read(store, store.keys.events(CUSTOMERS), 3)
    place = await _place(store, stored)
    assert (place.state, place.consumer, place.deliveries, place.attempts) == ("pending", "w1", 1, 0)
    assert place.renewed_at is not None


async def test_done(store: Store, stored: StoredEvent) -> None:
    """What was delivered and is nowhere any more is done; how many attempts that took is not known."""
    await _finish(store, stored)
    assert await _place(store, stored) == Place("sync", "done")


async def test_scheduled(store: Store, stored: StoredEvent) -> None:
    """A retry says when it is due, how many attempts were used and how they failed."""
    await _finish(store, stored)
    fields = _copy(attempts=2, history=history("first", "second"))
    entry = await store.client.xadd(store.keys.parked(CUSTOMERS, "sync"), fields)
    await store.client.zadd(store.keys.due(CUSTOMERS, "sync"), {entry: 1_900_000_000_000.007})
    place = await _place(store, stored)
    assert (place.state, place.attempts, [error.message for error in place.errors]) == (
        "scheduled",
        2,
        ["first", "second"],
    )
    assert place.due_at is not None
    assert place.due_at.timestamp() == 1_900_000_000


async def test_deferred(store: Store, stored: StoredEvent) -> None:
    """What was deferred says how often, since when and why."""
    await _finish(store, stored)
    fields = _copy(deferred=b'[3,1750000000000,"the quota is used up"]')
    entry = await store.client.xadd(store.keys.parked(CUSTOMERS, "sync"), fields)
    await store.client.zadd(store.keys.due(CUSTOMERS, "sync"), {entry: 1_900_000_000_000})
    place = await _place(store, stored)
    assert (place.state, place.attempts) == ("scheduled", 0)
    assert place.deferrals == Deferrals(3, 1_750_000_000_000, "the quota is used up")


async def test_a_body_without_a_time_is_no_retry(store: Store, stored: StoredEvent) -> None:
    """A parked body that nothing is scheduled for is no place: it was just moved on."""
    await _finish(store, stored)
    await store.client.xadd(store.keys.parked(CUSTOMERS, "sync"), _copy())
    assert (await _place(store, stored)).state == "done"


async def test_inbox(store: Store, stored: StoredEvent) -> None:
    """In the inbox an event waits, until a worker has it in hand."""
    await _finish(store, stored)
    inbox = store.keys.inbox(CUSTOMERS, "sync")
    await store.client.xadd(inbox, _copy(attempts=1, crashes=1, history=history("first")))
    place = await _place(store, stored)
    assert (place.state, place.attempts, len(place.errors)) == ("inbox", 2, 1)
    assert place.since is not None
    await _read(store, inbox, 1)
    place = await _place(store, stored)
    assert (place.state, place.consumer, place.attempts, len(place.errors)) == ("pending", "w1", 2, 1)


async def test_dead(store: Store, stored: StoredEvent) -> None:
    """A dead letter says why, and which entry it is."""
    await _finish(store, stored)
    entry_id = await put_dead(store, "e1")
    place = await _place(store, stored)
    assert (place.state, place.attempts, place.dead_entry_id) == ("dead", 3, entry_id)
    assert place.reason == "failed 3 of 3 attempts"


async def test_every_subscription_and_every_copy(store: Store, stored: StoredEvent) -> None:
    """Each subscription has a place of its own; one that was given the event again has two."""
    await _finish(store, stored)
    await put_group(store, "audit")
    await put_dead(store, "e1")
    await store.client.xadd(store.keys.inbox(CUSTOMERS, "sync"), _copy())
    places = (await life(store, stored)).subscriptions
    assert [(place.subscription, place.state) for place in places] == [
        ("audit", "undelivered"),
        ("sync", "inbox"),
        ("sync", "dead"),
    ]


async def test_an_event_that_moves_while_it_is_looked_for(
    store: Store, stored: StoredEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that goes back to a place that was looked at already is not taken for done."""
    await _finish(store, stored)
    entry = await store.client.xadd(store.keys.inbox(CUSTOMERS, "sync"), _copy())
    commands, inbox = store.commands, store.keys.inbox(CUSTOMERS, "sync")

    async def moving(asked: Any) -> list[Any]:
        if asked[0][:2] == ("XRANGE", inbox) and await store.client.xdel(inbox, entry):
            parked = await store.client.xadd(store.keys.parked(CUSTOMERS, "sync"), _copy())
            await store.client.zadd(store.keys.due(CUSTOMERS, "sync"), {parked: 1_900_000_000_000})
        return await commands(asked)

    monkeypatch.setattr(store, "commands", moving)
    assert (await _place(store, stored)).state == "scheduled"


async def test_more_than_can_be_looked_through(
    store: Store, stored: StoredEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a place holds too much, an event that was not found in it is not said to be done."""
    await _finish(store, stored)
    for number in range(4):
        await put_dead(store, f"other{number}")
    monkeypatch.setattr("workers.operations.life.SEARCHED", 3)
    assert (await _place(store, stored)).state == "unknown"


async def test_an_inbox_that_is_gone(store: Store, stored: StoredEvent) -> None:
    """A subscription whose inbox has no group any more, as after a flush, is no reason to fail."""
    await _finish(store, stored)
    inbox = store.keys.inbox(CUSTOMERS, "sync")
    await store.client.delete(inbox)
    await store.client.xadd(inbox, _copy())
    assert (await _place(store, stored)).state == "inbox"


async def test_an_entry_that_is_no_event(store: Store) -> None:
    """An entry that somebody wrote by hand has a life too."""
    await put_group(store, "sync")
    entry = await store.client.xadd(store.keys.events(CUSTOMERS), {"x": "y"})
    found = await life(store, StoredEvent(entry.decode(), CUSTOMERS, None))
    assert found.duplicates is None
    assert [place.state for place in found.subscriptions] == ["undelivered"]


@pytest.mark.parametrize("error", [RedisConnectionError("away"), StoreRefused("NOPERM")])
async def test_what_the_store_says_is_not_swallowed(
    store: Store, stored: StoredEvent, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A store that does not answer, or refuses, is an error, and never `done`."""
    await _finish(store, stored)

    async def fails(*_: Any, **_options: Any) -> Any:
        raise error

    monkeypatch.setattr(store, "command", fails)
    with pytest.raises(type(error)):
        await life(store, stored)


@pytest.mark.real
async def test_a_full_server_still_knows_duplicates(catalogue: Catalogue) -> None:
    """Where a duplicate cannot be counted, since the server takes no writes, it is a duplicate all the same."""
    with starting() as server:
        async with on_real_server(server.url) as store:
            first = await put_events(store, "e1")
            await put_events(store, "e1")
            server.ask("CONFIG", "SET", "maxmemory", "1")
            assert await put_events(store, "e1") == [""]
            server.ask("CONFIG", "SET", "maxmemory", "0")
            stored = await Browser(store, catalogue).find("e1")
            assert stored is not None
            assert [stored.entry_id] == first
            assert (await life(store, stored)).duplicates == 1
