"""A sweep makes events of the changes that no webhook reported, and of no other; on the fake ERP and each store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from support.erp import SLUG, TENANT, Clock
from support.reconciling import CHANGED, COMPANY, Reconciled, reconciled
from support.stores import fake_store
from support.waiting import eventually

from router.cloudevents import from_cloudevent, to_cloudevent_json
from router.events.catalogue import Catalogue
from router.store.client import Store
from workers.erp.errors import ErpUnavailable
from workers.erp.fake import FakeErp, serving
from workers.reconcile.listing import NoListing


@pytest.fixture
async def customers(store: Store, catalogue: Catalogue, erp: FakeErp, clock: Clock) -> AsyncIterator[Reconciled]:
    """Yield customers that are swept."""
    async with reconciled(store, catalogue, erp, clock) as found:
        yield found


async def test_one_change_in_twenty_is_missed(customers: Reconciled, clock: Clock) -> None:
    """Of 400 changes 5 % of the webhooks are lost: one sweep makes those, none is doubled, a second makes nothing."""
    random, lost = Random(7), set[str]()
    for number in range(400):
        clock.now += 1
        customers.change(number)
        if random.random() < 0.05:
            lost.add(str(number))
        else:
            clock.now += 0.2
            await customers.webhook(number)
    swept = await customers.sweep()
    assert lost
    assert (swept.listed, swept.reported, swept.made, swept.repaired) == (400, 400 - len(lost), len(lost), len(lost))
    assert sorted(await customers.made()) == sorted(lost)
    resources = [event.resource_id for event in await customers.events()]
    assert sorted(resources) == sorted(str(number) for number in range(400))
    swept = await customers.sweep()
    assert (swept.listed, swept.made, swept.repaired) == (0, 0, len(lost))
    assert len(await customers.events()) == 400


@pytest.mark.parametrize("behind", [7_200, 93_600])
@pytest.mark.parametrize("before", [True, False], ids=["with an old change", "with none"])
async def test_an_erp_whose_time_is_behind_misses_nothing(
    catalogue: Catalogue, clock: Clock, behind: int, *, before: bool
) -> None:
    """The first sweep begins by the ERP's own time: after it each change is found, however far behind that is.

    So it is with times that are of another zone than the settings say.
    """
    async with (
        fake_store() as store,
        serving(FakeErp(clock=lambda: clock() - behind)) as erp,
        reconciled(store, catalogue, erp, clock) as customers,
    ):
        if before:
            customers.change(99)
            clock.now += 60
        await customers.sweep()
        for number in range(4):
            customers.change(number)
            clock.now += 600
            await customers.sweep()
        assert [number for number in await customers.made() if number != "99"] == [str(n) for n in range(4)]


async def test_the_first_sweep_makes_no_event_of_what_changed_long_before(customers: Reconciled, clock: Clock) -> None:
    """It looks a day and more back for the ERP's time, and judges what changed within `every` and `overlap` alone."""
    customers.change(1)
    clock.now += 4 * 3600
    customers.change(2)
    clock.now += 60
    assert (await customers.sweep()).made == 1
    assert await customers.made() == ["2"]


async def test_a_first_look_that_fails_is_taken_again(customers: Reconciled, clock: Clock) -> None:
    """Where the ERP fails at the first look nothing is taken for known, and the next sweep takes it."""
    customers.erp.failing = 500
    with pytest.raises(ErpUnavailable):
        await customers.sweep()
    state = await customers.state()
    assert (state.cursor, state.failures, state.about) == (0, 1, customers.plan.about)
    customers.erp.failing = None
    customers.change(1)
    assert (await customers.sweep()).made == 1


async def test_what_such_an_event_says(customers: Reconciled, clock: Clock) -> None:
    """It is the event that the webhook would have been, and says that a sweep made it: in CloudEvents, too."""
    customers.change(5)
    await customers.sweep()
    [event] = await customers.events()
    assert (event.origin, event.resource, event.resource_path) == ("reconcile", "customer/5", "v1/customer/5")
    assert (event.tenant_id, event.company_id, event.resource_id) == (TENANT, COMPANY, "5")
    assert (event.type, event.action, event.entity, event.extra) == ("customer_changed", "changed", "customer", {})
    assert event.occurred_at is not None
    assert event.occurred_at.timestamp() == clock.now
    assert b'"origin":"reconcile"' in to_cloudevent_json(event)
    assert from_cloudevent(to_cloudevent_json(event)) == event


async def test_a_later_change_is_another_event(customers: Reconciled, clock: Clock) -> None:
    """A record that is changed again has another event; a webhook of an earlier change does not stand for it."""
    customers.change(5)
    clock.now += 1
    await customers.webhook(5)
    assert (await customers.sweep()).made == 0
    clock.now += 60
    customers.change(5)
    assert (await customers.sweep()).made == 1
    clock.now += 60
    customers.change(5)
    assert (await customers.sweep()).made == 1
    assert len({event.id for event in await customers.events()}) == 3


async def test_a_webhook_that_came_before_the_change_does_not_stand_for_it(customers: Reconciled, clock: Clock) -> None:
    """Two changes follow each other, and one is reported: who fetched the record then may have missed the other."""
    customers.change(5)
    await customers.webhook(5)
    clock.now += 0.3
    customers.change(5)
    assert (await customers.sweep()).made == 1


@pytest.mark.parametrize(
    ("fields", "made"),
    [
        ({}, 0),
        ({"TenantId": TENANT.upper()}, 0),
        ({"contextId": None}, 0),
        ({"contextId": "8"}, 1),
        ({"TenantId": "t2"}, 1),
        ({"TenantId": None}, 1),
        ({"relativeResourceUri": "v1/supplier/5"}, 1),
        ({"relativeResourceUri": "api/v1/Customer/5"}, 0),
        ({"type_": "customer_action_triggered"}, 1),
    ],
)
async def test_whose_webhook_it_was(customers: Reconciled, clock: Clock, fields: dict[str, Any], made: int) -> None:
    """Only a webhook of the same record, tenant and company stands for a change, and only one of such an event."""
    customers.change(5)
    clock.now += 1
    await customers.webhook(5, **fields)
    assert (await customers.sweep()).made == made


async def test_a_webhook_that_is_late_is_waited_for(
    store: Store, catalogue: Catalogue, erp: FakeErp, clock: Clock
) -> None:
    """A webhook that comes within `wait` seconds after the sweep saw the change stands for it."""
    waits = list[float]()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock.now += seconds
        await customers.webhook(5)

    async with reconciled(store, catalogue, erp, clock, sleep, wait=10) as customers:
        customers.change(5, 6)
        swept = await customers.sweep()
        assert (swept.listed, swept.reported, swept.made) == (2, 1, 1)
        assert await customers.made() == ["6"]
        assert waits == [10]


async def test_a_change_whose_webhook_is_older_than_the_streams_is_made_once_at_most(
    customers: Reconciled, clock: Clock
) -> None:
    """Of a company where nothing changes, the newest change is not judged again when its event has left the stream."""
    customers.change(5)
    clock.now += 1
    await customers.webhook(5)
    assert (await customers.sweep()).reported == 1
    await customers.store.client.xtrim(customers.store.keys.events(CHANGED), maxlen=0, approximate=False)
    clock.now += 8 * 86_400
    swept = await customers.sweep()
    assert (swept.listed, swept.made) == (0, 0)


async def test_what_is_committed_late_is_found(customers: Reconciled, clock: Clock) -> None:
    """A change that shows itself after a later one, within the overlap, is found by the next sweep."""
    customers.change(5)
    late = clock.now - 300
    assert (await customers.sweep()).made == 1
    now, clock.now = clock.now, late
    customers.change(6)
    clock.now = now + 3600
    assert (await customers.sweep()).made == 1
    assert await customers.made() == ["5", "6"]


@pytest.mark.parametrize("step", ["change", "delete"])
async def test_pages_that_change_under_the_reader(
    store: Store, catalogue: Catalogue, erp: FakeErp, clock: Clock, step: str
) -> None:
    """A record that slips to a page that was read is found all the same: the pages are read again."""
    async with reconciled(store, catalogue, erp, clock, page_size=10) as customers:
        customers.change(*range(100, 160))
        pages = 0

        def move(method: str, path: str) -> None:
            nonlocal pages
            pages += path == "v1/customer"
            if pages == 3 and path == "v1/customer":
                erp.on_request = lambda *_: None
                if step == "delete":
                    customers.delete(100, 101, 102)
                else:
                    erp.books(TENANT).delete("v1/customer/100")
                    customers.change(99)

        erp.on_request = move
        swept = await customers.sweep()
        assert {str(number) for number in range(103, 160)} <= set(await customers.made())
        assert swept.error == ""
        assert len(await customers.made()) == len(set(await customers.made()))


async def test_a_sweep_that_fails_begins_where_it_was(
    store: Store, catalogue: Catalogue, erp: FakeErp, clock: Clock
) -> None:
    """The ERP fails on page 7: the cursor stays, what was appended is not made again, and the next sweep has all."""
    async with reconciled(store, catalogue, erp, clock, page_size=10) as customers:
        customers.change(*range(100, 200))
        before = erp.on_request
        pages = 0

        def fail(method: str, path: str) -> None:
            nonlocal pages
            pages += path == "v1/customer"
            erp.failing = 503 if pages >= 7 else None

        erp.on_request = fail
        with pytest.raises(ErpUnavailable):
            await customers.sweep()
        state = await customers.state()
        assert (state.whole, state.failures) == (0, 1)
        assert "503" in state.error
        erp.on_request, erp.failing = before, None
        swept = await customers.sweep()
        assert (swept.failures, swept.error) == (0, "")
        assert sorted(await customers.made()) == [str(number) for number in range(100, 200)]


async def test_ending_between_append_and_cursor_doubles_nothing(
    store: Store, catalogue: Catalogue, erp: FakeErp, clock: Clock
) -> None:
    """After a process that dies at any step of what it appends and writes down, nothing is made twice or lost."""
    async with reconciled(store, catalogue, erp, clock, page_size=10) as customers:
        customers.change(*range(100, 140))
        for step in range(8):
            with_steps = _Dying(store, step)
            customers.sweeps.tools.store = with_steps  # type: ignore[assignment]
            with suppress(_Died):
                await customers.sweep()
            customers.sweeps.tools.store = store
            await store.client.delete(store.keys.sweeping("customers", f"{TENANT}/{COMPANY}"))
        await customers.sweep()
        assert sorted(await customers.made()) == [str(number) for number in range(100, 140)]


class _Died(BaseException):
    """The process is gone."""


class _Dying:
    """A store whose process dies at a step."""

    def __init__(self, store: Store, steps: int) -> None:
        self._store = store
        self._steps = steps

    async def run(self, calls: Any) -> Any:
        """Run scripts, or die."""
        if self._steps == 0:
            raise _Died
        self._steps -= 1
        return await self._store.run(calls)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"path": "v1/nothing", "event": "customer_changed", "number": ["no"]}, None),
        ({"number": ["customerNumber"]}, "no record of v1/customer has customerNumber and lastModifiedDateTime"),
        ({"modified": "changedAt"}, "no record of v1/customer has number and changedAt"),
    ],
)
async def test_settings_that_do_not_fit(
    store: Store, catalogue: Catalogue, erp: FakeErp, clock: Clock, options: dict[str, Any], error: str | None
) -> None:
    """Where no record has the fields that are named the sweep fails, and says so; an empty list is none."""
    async with reconciled(store, catalogue, erp, clock, **options) as customers:
        customers.change(5)
        if error is None:
            assert (await customers.sweep()).made == 0
            return
        with pytest.raises(NoListing, match=error):
            await customers.sweep()


async def test_a_record_without_a_number_is_counted(customers: Reconciled) -> None:
    """One that cannot be read does not keep the others from being swept, and is not hidden."""
    customers.change(5)
    customers.erp.books(TENANT).put("v1/customer/6", {"name": "no number"})
    swept = await customers.sweep()
    assert (swept.made, swept.unreadable, swept.error) == (1, 1, "")


async def test_a_zone(store: Store, catalogue: Catalogue, erp: FakeErp, clock: Clock) -> None:
    """Times without a zone are taken to be of the zone that the settings name: so is the time that is asked from."""
    async with reconciled(store, catalogue, erp, clock, zone="Etc/GMT-2") as customers:
        customers.change(5)
        erp.books(TENANT)._clock = lambda: clock.now + 7200
        customers.change(6)
        assert (await customers.sweep()).made == 1
        event = (await customers.events())[0]
        assert event.occurred_at is not None
        assert (event.resource_id, event.occurred_at.timestamp()) == ("6", clock.now)


BACK = 1_761_440_400.0
"""When clocks in Oslo were set back from 03:00 to 02:00, epoch seconds."""


@pytest.mark.parametrize("swept_at", [-600, 60, 1800])
@pytest.mark.parametrize("changed_at", [-30, 30, 900, 3000, 4000])
async def test_an_hour_that_a_zone_has_twice(
    store: Store, catalogue: Catalogue, erp: FakeErp, clock: Clock, swept_at: int, changed_at: int
) -> None:
    """What is changed while clocks are set back is found, whichever of the two hours a sweep before it was in."""
    async with reconciled(store, catalogue, erp, clock, zone="Europe/Oslo") as customers:
        erp.books(TENANT)._clock = lambda: clock.now + (7200 if clock.now < BACK else 3600)
        moments = sorted({-3300, swept_at, changed_at})
        for moment in moments:
            clock.now = BACK + moment
            customers.change(1 if moment != changed_at else 2)
            if moment != changed_at:
                await customers.webhook(1)
            if moment == swept_at:
                await customers.sweep()
        clock.now = BACK + 5000
        await customers.sweep()
        assert "2" in await customers.made()


async def test_a_webhook_of_the_first_hour_does_not_stand_for_a_change_in_the_second(
    store: Store, catalogue: Catalogue, erp: FakeErp, clock: Clock
) -> None:
    """A record that was changed at 02:50 and, once clocks were set back, at 02:10 has an event of the later change."""
    async with reconciled(store, catalogue, erp, clock, zone="Europe/Oslo") as customers:
        erp.books(TENANT)._clock = lambda: clock.now + (7200 if clock.now < BACK else 3600)
        clock.now = BACK - 600
        customers.change(5)
        await customers.webhook(5)
        clock.now = BACK + 600
        customers.change(5)
        clock.now = BACK + 1200
        assert (await customers.sweep()).made == 1


async def test_one_sweep_at_a_time(store: Store, catalogue: Catalogue, erp: FakeErp, clock: Clock) -> None:
    """Of several processes one sweeps; the others are reported so."""
    async with (
        reconciled(store, catalogue, erp, clock) as one,
        reconciled(store, catalogue, erp, clock) as other,
    ):
        one.change(5)
        erp.gate_open.clear()
        first = asyncio.create_task(one.sweep())
        lease = store.keys.sweeping("customers", f"{TENANT}/{COMPANY}")

        async def is_leased() -> bool:
            return bool(await store.client.exists(lease))

        await eventually(is_leased)
        assert await other.sweeps.sweep(other.plan, other.company) is None
        erp.gate_open.set()
        assert (await first).made == 1
        assert await other.made() == ["5"]


async def test_a_publisher_that_repeats_ids(store: Store, catalogue: Catalogue, erp: FakeErp, clock: Clock) -> None:
    """Where every webhook is stored, whatever its id, what a sweep makes is stored once all the same."""
    async with reconciled(store, catalogue, erp, clock) as customers:
        windows = customers.sweeps.tools.batch.windows
        windows._own[SLUG.replace("-", "_")] = 0
        customers.change(5)
        assert (await customers.sweep()).made == 1
        await store.client.delete(store.keys.judged("customers", f"{TENANT}/{COMPANY}"))
        await store.client.delete(store.keys.swept("customers", f"{TENANT}/{COMPANY}"))
        await store.client.xtrim(store.keys.events(CHANGED), 0, approximate=False)
        assert (await customers.sweep()).made == 0
