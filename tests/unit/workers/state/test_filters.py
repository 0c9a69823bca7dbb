"""What the store knows of the filters of subscriptions."""

from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from support.filling import CUSTOMERS, FINANCIAL, put_events, put_group

from router.events.catalogue import Catalogue
from router.events.event import Event
from router.store.client import Store
from router.store.errors import StoreUnavailable
from workers.operations.events import Browser
from workers.state.filters import Filter, Tally, filters, note_filter
from workers.where import Where

SUPPLIERS = f"{FINANCIAL}/supplier_changed"
NOTHING = Where({"company_id": "no such"})
ALL = Where({"id": "*"})


async def found(store: Store) -> Filter:
    """Return what is known of the filter of `sync`."""
    return (await filters(store, ["sync", "other"]))["sync"]


async def newest(store: Store, catalogue: Catalogue, id_: str) -> tuple[str, str, Event]:
    """Return the place of an event, and the event."""
    stored = await Browser(store, catalogue).find(id_)
    assert stored is not None
    assert stored.event is not None
    return stored.stream, stored.entry_id, stored.event


async def give(store: Store) -> None:
    """Let `sync` be given all there is."""
    await store.client.xgroup_setid(store.keys.events(CUSTOMERS), "sync", "$")


async def test_a_filter_is_known_by_what_it_judged(store: Store, catalogue: Catalogue) -> None:
    """What came behind where a filter began, and does not pass, was skipped; of anything before nothing is said."""
    await put_group(store, "sync", CUSTOMERS, SUPPLIERS)
    await put_events(store, "e1")
    await give(store)
    await note_filter(store, "sync", NOTHING, [CUSTOMERS, SUPPLIERS])
    await put_events(store, "e2")
    await note_filter(store, "sync", NOTHING, [CUSTOMERS, SUPPLIERS])  # as another worker does
    known = await found(store)
    assert not known.skips(*await newest(store, catalogue, "e1"))
    assert known.skips(*await newest(store, catalogue, "e2"))
    await give(store)
    await note_filter(store, "sync", ALL, [CUSTOMERS, SUPPLIERS])
    assert not (await found(store)).skips(*await newest(store, catalogue, "e2"))
    await note_filter(store, "sync", NOTHING, [CUSTOMERS, SUPPLIERS])
    assert not (await found(store)).skips(*await newest(store, catalogue, "e2"))
    assert await filters(store, []) == {}


async def test_a_stream_that_is_added_later_begins_then(store: Store, catalogue: Catalogue) -> None:
    """Where a subscription gets another stream, the filter begins there where its group does."""
    await put_group(store, "sync", CUSTOMERS, SUPPLIERS)
    await note_filter(store, "sync", NOTHING, [SUPPLIERS])
    await put_events(store, "e1")
    assert not (await found(store)).skips(*await newest(store, catalogue, "e1"))
    await note_filter(store, "sync", NOTHING, [SUPPLIERS, CUSTOMERS])
    assert (await found(store)).skips(*await newest(store, catalogue, "e1"))


async def test_counts_stay_where_a_filter_goes(store: Store) -> None:
    """How many events were skipped is counted over all filters that a subscription has had, by stream."""
    await put_group(store, "sync")
    await note_filter(store, "sync", NOTHING, [CUSTOMERS])
    for number in (1, 2):
        tally = Tally(store, "sync")
        tally.add(CUSTOMERS, number)
        await tally.write()
        await tally.write()
    await note_filter(store, "sync", None, [CUSTOMERS])
    known = await found(store)
    assert (known.where, known.after, known.skipped) == (None, {}, {CUSTOMERS: 3})


async def test_without_a_filter_nothing_is_written(store: Store) -> None:
    """A subscription without a filter leaves no key behind."""
    await put_group(store, "sync")
    await note_filter(store, "sync", None, [CUSTOMERS])
    await Tally(store, "sync").write()
    assert not await store.client.exists(store.keys.filter("sync"))


@pytest.mark.parametrize(
    "written",
    [
        {"where": "no JSON", f"after:{CUSTOMERS}": "0-0"},
        {"where": '{"colour": "red"}', f"after:{CUSTOMERS}": "0-0"},
        {"where": "[" * 10_000, f"after:{CUSTOMERS}": "0-0"},
        {"where": str(NOTHING), f"after:{CUSTOMERS}": "yesterday"},
        {"where": str(NOTHING), b"\xff": b"\xff", f"skipped:{CUSTOMERS}": "many"},
    ],
)
async def test_what_somebody_else_wrote(store: Store, catalogue: Catalogue, written: Any) -> None:
    """A filter that cannot be read, or of a later version, skips nothing that is known."""
    await put_events(store, "e1")
    await store.client.hset(store.keys.filter("sync"), mapping=written)
    known = await found(store)
    assert not known.skips(*await newest(store, catalogue, "e1"))
    assert known.skipped == {}


async def test_a_store_that_is_away(real_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts wait for the store; a filter that cannot be noted has its worker try again, unless a right is missing."""
    tally = Tally(real_store, "sync")
    tally.add(CUSTOMERS, 5)
    error: Exception = RedisConnectionError("away")

    async def fails(*_: Any, **__: Any) -> Any:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(real_store.client, "execute_command", fails)
        patch.setattr("redis.asyncio.client.Pipeline.execute", fails)
        await tally.write()
        with pytest.raises(StoreUnavailable):
            await note_filter(real_store, "sync", NOTHING, [CUSTOMERS])
        error = ResponseError("NOPERM this user may not")
        await note_filter(real_store, "sync", NOTHING, [CUSTOMERS])
    await tally.write()
    assert (await found(real_store)).skipped == {CUSTOMERS: 5}
