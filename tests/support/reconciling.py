"""A reconciliation of customers against the fake ERP, with webhooks that come, or do not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from support.erp import SLUG, TENANT, Clock, Steps, erp_settings

from config.reconcile import Company, ReconcileSettings
from config.settings import Settings
from router.events.catalogue import Catalogue
from router.events.event import Event
from router.events.identify import identify
from router.events.ticks import to_ticks
from router.intake.entry import entry_of
from router.intake.writer import Batch
from router.store.client import Store
from router.store.reading import Span, forward
from router.store.record import read_event
from workers.erp import open_clients
from workers.erp.fake import FakeErp
from workers.limits import Limiter, limiting
from workers.reconcile.metrics import ReconcileMetrics
from workers.reconcile.plan import Plan, plans
from workers.reconcile.sweep import Asked
from workers.reconcile.sweeps import Sweeps
from workers.reconcile.tools import Tools
from workers.state.reconcile import Swept, read_state

__all__ = ["CHANGED", "COMPANY", "NAME", "Reconciled", "reconcile_settings", "reconciled"]

NAME = "customers"
COMPANY = "7"
CHANGED = f"{SLUG}/customer_changed"


class Reconciled:
    """Customers of one company, swept when a test says so."""

    def __init__(self, store: Store, catalogue: Catalogue, erp: FakeErp, sweeps: Sweeps, clock: Clock) -> None:
        self.store = store
        self.catalogue = catalogue
        self.erp = erp
        self.sweeps = sweeps
        self.clock = clock
        self._sent = 0

    @property
    def plan(self) -> Plan:
        """The one reconciliation."""
        return self.sweeps.plans[0]

    @property
    def company(self) -> Company:
        """The company that is swept."""
        return self.plan.companies[0]

    def change(self, *numbers: int) -> None:
        """Have customers made or changed in the ERP, now."""
        for number in numbers:
            self.erp.books(TENANT).put(f"v1/customer/{number}", {"number": str(number)})

    def delete(self, *numbers: int) -> None:
        """Have customers deleted."""
        for number in numbers:
            self.erp.books(TENANT).delete(f"v1/customer/{number}")

    async def webhook(self, number: int, *, type_: str = "customer_changed", **fields: Any) -> None:
        """Have a webhook tell of a change that happened now."""
        self._sent += 1
        item = {
            "notificationId": f"n{self._sent}",
            "event": type_,
            "contextId": COMPANY,
            "TenantId": TENANT,
            "relativeResourceUri": f"v1/customer/{number}",
            "timeStamp": to_ticks(self.plan_time()),
            **fields,
        }
        found = identify(self.catalogue, SLUG, msgspec.json.encode(item), None)
        entries = [entry_of(self.store.keys, SLUG, each, int(self.clock() * 1000)) for each in found]
        assert await self.sweeps.tools.batch.append(entries) == [True]

    def plan_time(self) -> Any:
        """Return the time as a moment."""
        from datetime import UTC, datetime  # noqa: PLC0415

        return datetime.fromtimestamp(self.clock(), UTC)

    async def sweep(self, **options: Any) -> Swept:
        """Sweep, whether it is due or not."""
        swept = await self.sweeps.sweep(self.plan, self.company, Asked(**options))
        assert swept is not None
        return swept

    async def state(self) -> Swept:
        """Return how far the company is."""
        return await read_state(self.store, self.store.keys.swept(NAME, self.company.name))

    async def events(self, stream: str = CHANGED) -> list[Event]:
        """Return all events of a stream."""
        entries = forward(self.store, self.store.keys.events(stream), Span("-", "+"))
        return [read_event(self.catalogue, stream, fields) async for _, fields in entries]

    async def made(self, stream: str = CHANGED) -> list[str]:
        """Return of which customers events were made by sweeps, in order."""
        return [str(event.resource_id) for event in await self.events(stream) if event.origin == "reconcile"]


def reconcile_settings(erp: FakeErp, **options: Any) -> Settings:
    """Return settings with a reconciliation of customers."""
    known = {"path": "v1/customer", "companies": [f"{TENANT}/{COMPANY}"], "wait": 0}
    terms = ReconcileSettings(**(known | options))
    return erp_settings(erp).model_copy(update={"reconcile": {NAME: terms}})


@asynccontextmanager
async def reconciled(
    store: Store, catalogue: Catalogue, erp: FakeErp, clock: Clock, sleep: Any = None, **options: Any
) -> AsyncIterator[Reconciled]:
    """Yield customers that are swept, by a process of its own."""
    settings = reconcile_settings(erp, **options)
    batch = Batch.for_settings(store, settings)
    tools = Tools(store, batch, ReconcileMetrics(CollectorRegistry()), clock, sleep or Steps())
    async with open_clients(settings) as clients, limiting(Limiter(store, "w1", clock=clock)):
        sweeps = Sweeps(plans(settings, catalogue), tools, clients, catalogue)
        yield Reconciled(store, catalogue, erp, sweeps, clock)
