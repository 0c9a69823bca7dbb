"""What webhooks reported is what the streams hold now: not what they held before the store lost its last second."""

from collections.abc import AsyncIterator, Sequence

import pytest
from support.erp import TENANT, Clock
from support.reconciling import CHANGED, COMPANY, NAME, Reconciled, reconciled

from router.events.catalogue import Catalogue
from router.store.client import Store
from workers.erp.fake import FakeErp


@pytest.fixture
async def customers(store: Store, catalogue: Catalogue, erp: FakeErp, clock: Clock) -> AsyncIterator[Reconciled]:
    """Yield customers that are swept."""
    async with reconciled(store, catalogue, erp, clock, deletes="1d") as found:
        yield found


class Replica:
    """What a replica has of some keys, until it takes over: what its master wrote after that is lost."""

    def __init__(self, customers: Reconciled, keys: Sequence[str]) -> None:
        self._customers = customers
        self._client = customers.store.client
        self._keys = keys
        self._copies: dict[str, bytes | None] = {}
        self._ids = set[str]()

    async def copy(self) -> None:
        """Take over what the master has now."""
        self._copies = {key: await self._client.dump(key) for key in self._keys}
        self._ids = {event.id for event in await self._customers.events()}

    async def take_over(self) -> None:
        """Have the store be as it was copied."""
        keys = self._customers.store.keys
        for event in await self._customers.events():
            if event.id not in self._ids and keys.events(CHANGED) in self._keys:
                await self._client.delete(keys.seen(CHANGED, event.id))
        for key, copy in self._copies.items():
            await self._client.delete(key)
            if copy is not None:
                await self._client.restore(key, 0, copy)


def replica(customers: Reconciled, *, of_all: bool) -> Replica:
    """Return the replica of the whole store, or of the events alone: in a Cluster these are elsewhere."""
    keys, company = customers.store.keys, f"{TENANT}/{COMPANY}"
    hashes = (keys.swept, keys.judged, keys.known_records, keys.buried_records)
    swept = [key(NAME, company) for key in hashes]
    return Replica(customers, [keys.events(CHANGED), *(swept if of_all else [])])


@pytest.mark.parametrize("of_all", [True, False], ids=["store", "events alone"])
async def test_a_store_that_lost_its_last_second(customers: Reconciled, clock: Clock, *, of_all: bool) -> None:
    """A webhook and an event of a sweep that were lost are made up for by the next sweep, and nothing is doubled."""
    customers.change(1)
    await customers.webhook(1)
    await customers.sweep()
    found = replica(customers, of_all=of_all)
    await found.copy()
    clock.now += 60
    customers.change(2, 3)
    await customers.webhook(2)
    assert (await customers.sweep()).made == 1
    assert (await customers.sweep()).made == 0
    await found.take_over()
    clock.now += 60
    await customers.sweep()
    assert sorted(await customers.made()) == ["2", "3"]
    assert (await customers.sweep()).made == 0


@pytest.mark.parametrize("of_all", [True, False], ids=["store", "events alone"])
async def test_a_deletion_that_the_store_lost(customers: Reconciled, clock: Clock, *, of_all: bool) -> None:
    """The event of a record that is gone is made once more, with the id that it had, where the store has lost it."""
    customers.change(*range(40))
    await customers.sweep(complete=True)
    found = replica(customers, of_all=of_all)
    await found.copy()
    clock.now += 60
    customers.delete(7)
    assert (await customers.sweep(complete=True)).deleted == 1
    [first] = [event.id for event in await customers.events() if event.action == "deleted"]
    await found.take_over()
    clock.now += 60
    await customers.sweep(complete=of_all)
    assert [event.id for event in await customers.events() if event.action == "deleted"] == [first]
    clock.now += 60
    assert (await customers.sweep(complete=True)).made == 0


@pytest.mark.parametrize("all_of_them", [True, False])
async def test_what_retention_has_removed_is_not_lost(
    customers: Reconciled, clock: Clock, *, all_of_them: bool
) -> None:
    """A stream that was trimmed, to its end or not, has nothing judged once more."""
    customers.change(1)
    await customers.webhook(1)
    await customers.sweep()
    clock.now += 60
    customers.change(2)
    if not all_of_them:
        await customers.webhook(2)
    key = customers.store.keys.events(CHANGED)
    await customers.store.client.xtrim(key, maxlen=0 if all_of_them else 1, approximate=False)
    swept = await customers.sweep()
    assert (swept.listed, swept.made) == (1, 1 if all_of_them else 0)
    assert await customers.made() == (["2"] if all_of_them else [])


async def test_what_an_operator_removed_is_not_lost(customers: Reconciled, clock: Clock) -> None:
    """An entry that was deleted by itself, as an erasure does, brings no event of its change back."""
    customers.change(1, 2)
    await customers.webhook(1)
    await customers.webhook(2)
    assert (await customers.sweep()).reported == 2
    key = customers.store.keys.events(CHANGED)
    [(newest, _)] = await customers.store.client.xrevrange(key, count=1)
    await customers.store.client.xdel(key, newest)
    clock.now += 60
    assert (await customers.sweep()).made == 0


async def test_a_stream_that_is_gone(customers: Reconciled, clock: Clock) -> None:
    """Where the store lost all that a stream ever held, the event of the change is made once more."""
    customers.change(1)
    assert (await customers.sweep()).made == 1
    [event] = await customers.events()
    keys = customers.store.keys
    for key in (keys.events(CHANGED), keys.seen(CHANGED, event.id)):
        await customers.store.client.delete(key)
    clock.now += 60
    assert (await customers.sweep()).made == 1
    assert [found.id for found in await customers.events()] == [event.id]
