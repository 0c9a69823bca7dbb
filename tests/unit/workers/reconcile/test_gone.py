"""What is gone is found by a complete sweep alone, each record by itself, and too much of it is held."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.erp import TENANT, Clock
from support.reconciling import CHANGED, Reconciled, reconciled

from router.events.catalogue import Catalogue
from router.store.client import Store
from workers.erp.errors import ErpUnavailable
from workers.erp.fake import FakeErp

HUNDRED = range(100, 200)
BEFORE = 22
"""Pages of the changes that a complete sweep reads first: ten and an empty one, twice over."""


@pytest.fixture
async def customers(store: Store, catalogue: Catalogue, erp: FakeErp, clock: Clock) -> AsyncIterator[Reconciled]:
    """Yield a hundred customers that a complete sweep has listed, and of which webhooks have reported."""
    async with reconciled(store, catalogue, erp, clock, page_size=10, deletes="1d") as found:
        found.change(*HUNDRED)
        clock.now += 1
        for number in HUNDRED:
            await found.webhook(number)
        assert (await found.sweep(complete=True)).made == 0
        clock.now += 3600
        yield found


async def deleted(customers: Reconciled) -> list[str]:
    """Return the customers that events say are gone."""
    return [str(event.resource_id) for event in await customers.events() if event.action == "deleted"]


async def test_a_deletion_is_told_once(customers: Reconciled, clock: Clock) -> None:
    """Five of a hundred are gone: each has one event, however often all are listed; a sweep of changes sees none."""
    customers.delete(*range(100, 105))
    assert (await customers.sweep()).made == 0
    swept = await customers.sweep(complete=True)
    assert (swept.made, swept.repaired, swept.deleted, swept.held) == (5, 5, 5, 0)
    assert (await customers.sweep(complete=True)).made == 0
    assert await deleted(customers) == ["100", "101", "102", "103", "104"]


async def test_all_are_listed_when_that_is_due(customers: Reconciled, clock: Clock) -> None:
    """Once in `deletes` a sweep lists all records, asked or not."""
    customers.delete(100)
    assert (await customers.sweep()).made == 0
    clock.now += 86_400
    assert (await customers.sweep()).deleted == 1


async def test_a_record_that_comes_back_and_goes_again(customers: Reconciled, clock: Clock) -> None:
    """Each deletion is an event of its own, and so is what was made anew between them."""
    for _ in range(2):
        customers.delete(100)
        clock.now += 86_400
        await customers.sweep(complete=True)
        clock.now += 60
        customers.change(100)
        clock.now += 60
        await customers.sweep()
    assert await deleted(customers) == ["100", "100"]
    assert len(await customers.made()) == 4


async def test_a_deletion_that_a_webhook_told_of(customers: Reconciled, clock: Clock) -> None:
    """An event that says so stands for it."""
    customers.delete(100)
    clock.now += 1
    await customers.webhook(100, action="DELETED")
    swept = await customers.sweep(complete=True)
    assert (swept.made, swept.held) == (0, 0)
    assert await deleted(customers) == ["100"]


async def test_more_than_one_in_twenty_is_held(customers: Reconciled, clock: Clock) -> None:
    """Six of a hundred are too many: none has an event until an operator lets so many go, and no more than that."""
    customers.delete(*range(100, 106))
    swept = await customers.sweep(complete=True)
    assert (swept.made, swept.held, swept.held_of) == (0, 6, 100)
    assert swept.held_at == int(clock.now * 1000)
    assert (await customers.sweep()).held == 6
    customers.delete(106)
    swept = await customers.sweep(complete=True, confirmed=6)
    assert (swept.made, swept.held) == (0, 7)
    swept = await customers.sweep(complete=True, confirmed=7)
    assert (swept.made, swept.held, swept.held_of, swept.held_at) == (7, 0, 0, 0)
    assert len(await deleted(customers)) == 7


async def test_an_empty_list_is_held(customers: Reconciled) -> None:
    """An ERP that lists nothing has not lost everything."""
    customers.delete(*HUNDRED)
    assert (await customers.sweep(complete=True)).held == 100
    assert await deleted(customers) == []


async def test_a_sweep_that_fails_on_page_7_deletes_nothing(customers: Reconciled, erp: FakeErp) -> None:
    """Records that were not listed because the list broke off are not taken to be gone, nor are those that are gone."""
    customers.delete(100, 150)
    pages = 0

    def fail(method: str, path: str) -> None:
        nonlocal pages
        pages += path == "v1/customer"
        erp.failing = 503 if pages >= BEFORE + 7 else None

    erp.on_request = fail
    with pytest.raises(ErpUnavailable):
        await customers.sweep(complete=True)
    assert await deleted(customers) == []
    erp.on_request, erp.failing = lambda *_: None, None
    assert (await customers.sweep(complete=True)).made == 2
    assert sorted(await deleted(customers)) == ["100", "150"]


async def test_a_record_that_slips_to_another_page_is_not_gone(customers: Reconciled, erp: FakeErp) -> None:
    """Where the list moves under the reader, what is missing on it is asked for by itself before it counts as gone."""
    pages = 0

    def move(method: str, path: str) -> None:
        nonlocal pages
        pages += path == "v1/customer"
        if pages == BEFORE + 5:
            customers.delete(100)

    erp.on_request = move
    swept = await customers.sweep(complete=True)
    assert (swept.made, swept.held) == (0, 0)
    erp.on_request = lambda *_: None
    assert (await customers.sweep(complete=True)).made == 1
    assert await deleted(customers) == ["100"]


async def test_a_record_without_a_number_hides_no_deletion(customers: Reconciled, erp: FakeErp) -> None:
    """An item that cannot be read is counted, and hides no other record that is gone: each is asked for by itself."""
    customers.delete(100)
    erp.books(TENANT).put("v1/customer/101", {"name": "no number any more"})
    swept = await customers.sweep(complete=True)
    assert (swept.made, swept.held, swept.unreadable) == (1, 0, 1)
    assert await deleted(customers) == ["100"]


@pytest.mark.parametrize("number", ["A#1", "50%", "1/2", "a b", "ÆØÅ", "x" * 200])
async def test_any_number(store: Store, catalogue: Catalogue, erp: FakeErp, clock: Clock, number: str) -> None:
    """A number is itself in both events of a record, of its change and of its deletion, and on both paths."""
    async with reconciled(store, catalogue, erp, clock, deletes="1d", max_deletes=0.9) as found:
        books = erp.books(TENANT)
        for each in (number, "other"):
            books.put(f"v1/customer/{each}", {"number": each})
        await found.sweep(complete=True)
        books.delete(f"v1/customer/{number}")
        assert (await found.sweep(complete=True)).made == 1
        events = [event for event in await found.events() if event.resource_id != "other"]
        assert [(event.resource_id, event.action) for event in events] == [(number, "changed"), (number, "deleted")]
        assert events[0].resource == events[1].resource == f"customer/{number}"
        assert events[0].resource_path == events[1].resource_path


async def test_a_key_of_two_parts(store: Store, catalogue: Catalogue, erp: FakeErp, clock: Clock) -> None:
    """An order is known by its type and number, both in the order of its path."""
    terms: dict[str, Any] = {"path": "v1/salesorder", "number": ["type", "no"], "deletes": "1d", "max_deletes": 0.9}
    async with reconciled(store, catalogue, erp, clock, **terms) as found:
        books = erp.books(TENANT)
        for each in ("1", "2/3"):
            books.put(f"v1/salesorder/SO/{each}", {"type": "SO", "no": each})
        await found.sweep(complete=True)
        books.delete("v1/salesorder/SO/2/3")
        await found.sweep(complete=True)
        events = await found.events("visma-net-financial/sales_order_changed")
        assert [event.resource for event in events] == ["salesorder/SO/1", "salesorder/SO/2/3", "salesorder/SO/2/3"]
        assert [event.resource_id for event in events] == ["1", "2/3", "2/3"]


async def test_another_collection_forgets_the_records(customers: Reconciled, erp: FakeErp, clock: Clock) -> None:
    """Once the settings name another collection, the records of the one before are not taken to be gone."""
    store, catalogue = customers.store, customers.catalogue
    async with reconciled(store, catalogue, erp, clock, path="v1/supplier", deletes="1d") as suppliers:
        erp.books(TENANT).put("v1/supplier/1", {"number": "1"})
        swept = await suppliers.sweep(complete=True)
        assert (swept.made, swept.held, swept.deleted) == (1, 0, 0)
    assert await deleted(customers) == []


async def test_with_a_query(store: Store, catalogue: Catalogue, erp: FakeErp, clock: Clock) -> None:
    """A record that is there, and not listed since the query asks for others, is not gone."""
    async with reconciled(store, catalogue, erp, clock, deletes="1d", max_deletes=0.5, query="status=Active") as found:
        found.change(1, 2, 3, 4)
        await found.sweep(complete=True)
        books = erp.books(TENANT)
        listed = books.sweep
        books.sweep = lambda *a, **k: _without_first(listed(*a, **k))  # type: ignore[method-assign]
        assert (await found.sweep(complete=True)).made == 0
        assert await store.client.hlen(store.keys.known_records("customers", found.company.name)) == 3
        assert len(await found.events(CHANGED)) == 4


def _without_first(page: object) -> object:
    from workers.erp.fake.books import Page  # noqa: PLC0415

    assert isinstance(page, Page)
    entries = {path: entry for path, entry in page.entries.items() if path != "v1/customer/1"}
    return Page(entries, len(entries))
