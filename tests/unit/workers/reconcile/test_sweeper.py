"""The sweeper sweeps each company when it is due, once over all processes, and ends at once."""

import asyncio
from random import Random
from typing import Any

import pytest
from support.erp import TENANT, Clock
from support.reconciling import reconciled
from support.waiting import eventually

from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import StoreUnavailable
from router.store.leases import LeaseLost
from workers.erp.fake import FakeErp
from workers.reconcile import sweeper
from workers.reconcile.sweeper import Sweeper

EVERY = 0.3
"""Seconds; the sweeper waits by the clock of the machine."""


def sweeps_of(erp: FakeErp, tenant: str = TENANT) -> int:
    """Return how often a tenant's customers were listed."""
    return sum(seen.path == "v1/customer" and seen.tenant == tenant for seen in erp.seen)


async def test_each_company_is_swept_when_it_is_due(store: Store, catalogue: Catalogue, erp: FakeErp) -> None:
    """Two processes sweep two companies again and again; every missed change has one event."""
    clock = Clock()
    companies = ["t1/7", "t2/8"]
    async with (
        reconciled(store, catalogue, erp, clock, every=EVERY, companies=companies) as one,
        reconciled(store, catalogue, erp, clock, every=EVERY, companies=companies) as other,
    ):
        erp.books("t1").put("v1/customer/1", {"number": "1"})
        erp.books("t2").put("v1/customer/2", {"number": "2"})
        async with Sweeper(one.sweeps, Random(1)), Sweeper(other.sweeps, Random(2)):

            async def made() -> bool:
                clock.now += 0.1
                return sorted(await one.made()) == ["1", "2"]

            await eventually(made)
            erp.books("t1").put("v1/customer/3", {"number": "3"})

            async def again() -> bool:
                clock.now += 0.1
                return sorted(await one.made()) == ["1", "2", "3"]

            await eventually(again)


async def test_it_ends_at_once(store: Store, catalogue: Catalogue, erp: FakeErp, clock: Clock) -> None:
    """A sweep that the ERP keeps waiting does not keep its process from ending, and leaves no lease behind."""
    async with reconciled(store, catalogue, erp, clock, every=EVERY) as customers:
        customers.change(1)
        erp.gate_open.clear()
        lease = store.keys.sweeping("customers", customers.company.name)
        async with Sweeper(customers.sweeps, Random(1)):

            async def is_leased() -> bool:
                return bool(await store.client.exists(lease))

            await eventually(is_leased)
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < 3
        assert not await store.client.exists(lease)
        erp.gate_open.set()
        assert (await customers.sweep()).made == 1


async def test_a_company_that_waits_for_its_quota_holds_up_no_other(
    store: Store, catalogue: Catalogue, erp: FakeErp, clock: Clock
) -> None:
    """One company has used up its quota: another is swept meanwhile."""
    slept = asyncio.Event()

    async def sleep(seconds: float) -> None:
        slept.set()
        await asyncio.Event().wait()

    companies = ["t1/7", "t2/8"]
    async with reconciled(store, catalogue, erp, clock, sleep, every=EVERY, companies=companies) as customers:
        erp.gate.quota = 3
        erp.books("t1").put("v1/customer/1", {"number": "1"})
        erp.books("t2").put("v1/customer/2", {"number": "2"})
        erp.gate._used[("t1", "c1", int(clock.now // 3600))] = 3
        async with Sweeper(customers.sweeps, Random(1)):
            await asyncio.wait_for(slept.wait(), 30)

            async def made() -> bool:
                return await customers.made() == ["2"]

            await eventually(made)


async def test_a_store_that_is_away_is_waited_for(
    store: Store, catalogue: Catalogue, erp: FakeErp, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the store does not answer nothing is swept and nothing ends; the sweep is made up for once it is back."""
    monkeypatch.setattr(sweeper, "_OUTAGE", 0.01)
    async with reconciled(store, catalogue, erp, clock, every=EVERY) as customers:
        customers.change(1)
        away = asyncio.Event()

        async def refuse(*_: object) -> None:
            away.set()
            raise StoreUnavailable("away")

        with monkeypatch.context() as patched:
            patched.setattr(store, "call", refuse)
            running = Sweeper(customers.sweeps, Random(1))
            await running.__aenter__()
            await asyncio.wait_for(away.wait(), 30)
        try:

            async def made() -> bool:
                return await customers.made() == ["1"]

            await eventually(made)
        finally:
            await running.__aexit__()


async def test_a_sweep_that_lost_its_lease_writes_nothing_down(
    store: Store, catalogue: Catalogue, erp: FakeErp, clock: Clock
) -> None:
    """A process that was held up for longer than its lease leaves cursor and records to the one that sweeps now."""
    async with reconciled(store, catalogue, erp, clock, deletes="1d") as customers:
        customers.change(1)
        lease = store.keys.sweeping("customers", customers.company.name)
        books = erp.books(TENANT)
        listed = books.sweep

        def lose(*args: Any, **options: Any) -> Any:
            stolen.append(asyncio.ensure_future(store.client.set(lease, "another")))
            return listed(*args, **options)

        stolen = list[Any]()
        books.sweep = lose  # type: ignore[method-assign]
        with pytest.raises(LeaseLost):
            await customers.sweep()
        await asyncio.gather(*stolen)
        assert (await customers.state()).cursor == 0
        assert await store.client.get(lease) == b"another"
        assert not await store.client.exists(store.keys.known_records("customers", customers.company.name))
        books.sweep = listed  # type: ignore[method-assign]
        await store.client.delete(lease)
        await customers.sweep()
        assert await customers.made() == ["1"]


async def test_a_sweep_leaves_its_share_of_the_quota(
    store: Store, catalogue: Catalogue, erp: FakeErp, clock: Clock
) -> None:
    """Sweeps stop where the part of the quota begins that is left for handlers; then they wait, and go on."""
    waits = list[float]()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        erp.gate._used.clear()
        await store.client.delete(*[key async for key in store.client.scan_iter(f"{store.keys.prefix}:{{limit:*")])

    async with reconciled(store, catalogue, erp, clock, sleep, page_size=1, reserve=0.5) as customers:
        erp.gate.quota = 8
        customers.change(*range(100, 106))
        assert (await customers.sweep()).made == 6
        assert waits
        assert erp.refused(TENANT) == 0
