"""How full the streams are, and how far each subscription is."""

from typing import Any

import pytest
from support.filling import CUSTOMERS, FINANCIAL, put_dead, put_events, put_group

from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import StoreUnavailable
from workers.state.overview import MOST_COUNTED, StreamOverview, SubscriptionOverview, overview

SUPPLIERS = f"{FINANCIAL}/supplier_changed"


async def _read(store: Store, key: str, group: str, count: int) -> list[bytes]:
    [reply] = await store.commands([("XREADGROUP", "GROUP", group, "c", "COUNT", count, "STREAMS", key, ">")])
    return [entry_id for entry_id, _ in reply[key.encode()]]


async def _of(store: Store, stream: str = CUSTOMERS) -> SubscriptionOverview:
    (found,) = await overview(store, [stream])
    (subscription,) = found.subscriptions
    return subscription


async def test_streams_without_anything(store: Store, catalogue: Catalogue) -> None:
    """Streams that nobody has written to or subscribed to are empty and idle."""
    found = await overview(store, catalogue.streams())
    assert [row.stream for row in found] == list(catalogue.streams())
    assert all(row.is_idle and row.subscriptions == () for row in found)


async def test_every_event_counts_once(store: Store) -> None:
    """Waiting, in hand, scheduled and dead events are counted each in one figure, those of the inbox too."""
    await put_group(store, "sync")
    await put_group(store, "audit")
    await put_events(store, *"abcde")
    await _read(store, store.keys.events(CUSTOMERS), "sync", 2)
    inbox = store.keys.inbox(CUSTOMERS, "sync")
    for id_ in "xyz":
        await store.client.xadd(inbox, {"id": id_})
    await _read(store, inbox, "sync", 1)
    await store.client.zadd(store.keys.due(CUSTOMERS, "sync"), {"1-0": 1, "2-0": 2})
    await put_dead(store, "dead")
    (found,) = await overview(store, [CUSTOMERS])
    assert found.length == 5
    assert found.subscriptions == (
        SubscriptionOverview("audit", lag=5, pending=0, scheduled=0, dead=0),
        SubscriptionOverview("sync", lag=5, pending=3, scheduled=2, dead=1),
    )
    assert not found.is_idle


async def test_subscriptions_are_told_apart_by_stream(store: Store) -> None:
    """A subscription over two streams has a figure for each."""
    await put_group(store, "sync", CUSTOMERS, SUPPLIERS)
    await put_events(store, "a")
    rows = await overview(store, [CUSTOMERS, SUPPLIERS])
    assert [(row.stream, row.length, row.subscriptions[0].lag) for row in rows] == [
        (CUSTOMERS, 1, 1),
        (SUPPLIERS, 0, 0),
    ]
    assert [row.is_idle for row in rows] == [False, True]


async def test_lag_after_deletion(store: Store) -> None:
    """Where the server has lost track of a lag, because entries were deleted, the waiting ones are counted."""
    await put_group(store, "sync")
    ids = await put_events(store, *"abcde")
    await _read(store, store.keys.events(CUSTOMERS), "sync", 1)
    await store.client.xdel(store.keys.events(CUSTOMERS), ids[3])
    assert (await _of(store)).lag == 3


@pytest.mark.parametrize("waiting", [2, MOST_COUNTED + 5])
async def test_unknown_lag(store: Store, monkeypatch: pytest.MonkeyPatch, waiting: int) -> None:
    """A lag that has to be counted is counted up to a bound."""
    await put_group(store, "sync")
    for start in range(0, waiting, 100):
        await put_events(store, *(f"e{number}" for number in range(start, min(start + 100, waiting))))
    commands = store.commands

    async def without_lag(asked: Any) -> list[Any]:
        replies = await commands(asked)
        for reply in replies:
            if isinstance(reply, list) and reply and isinstance(reply[0], dict):
                reply[0][b"lag"] = None
        return replies

    monkeypatch.setattr(store, "commands", without_lag)
    assert (await _of(store)).lag == min(waiting, MOST_COUNTED)


async def test_missing_inbox(store: Store) -> None:
    """A subscription whose inbox is gone has what is in the stream."""
    await put_group(store, "sync")
    await put_events(store, "a")
    await store.client.delete(store.keys.inbox(CUSTOMERS, "sync"))
    assert await _of(store) == SubscriptionOverview("sync", 1, 0, 0, 0)


async def test_two_round_trips(store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """All streams with all their subscriptions take two round trips."""
    streams = catalogue.streams()
    await put_group(store, "all", *streams)
    trips = []
    commands = store.commands

    async def counted(asked: Any) -> list[Any]:
        trips.append(len(asked))
        return await commands(asked)

    monkeypatch.setattr(store, "commands", counted)
    assert len(await overview(store, streams)) == len(streams)
    assert trips == [2 * len(streams), 4 * len(streams)]


async def test_store_away(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is away is an error, never an empty overview."""

    async def away(commands: Any) -> list[Any]:
        return [ConnectionError("refused")] * len(commands)

    monkeypatch.setattr(store, "commands", away)
    with pytest.raises(StoreUnavailable):
        await overview(store, [CUSTOMERS])


def test_idle() -> None:
    """A stream without events that a subscription still works on is not idle."""
    assert not StreamOverview(CUSTOMERS, 0, (SubscriptionOverview("sync", 0, 0, 1, 0),)).is_idle
