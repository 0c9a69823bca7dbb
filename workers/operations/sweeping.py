"""Sweeping companies at once, for an operator; under the lease that workers sweep under, and with the same limit."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry

from config.errors import RouterError, described
from config.reconcile import Company
from config.settings import Settings
from router.events.catalogue import Catalogue
from router.intake.writer import Batch
from router.store.client import Store
from router.store.errors import STORE_ERRORS
from router.telemetry.identity import process_name
from workers.erp.clients import open_clients
from workers.limits.limiter import Limiter, limiting
from workers.limits.of_erp import erp_limit
from workers.operations.audit import CHANGED, FAILED, MATCHED, Deed, accounted
from workers.reconcile.metrics import ReconcileMetrics
from workers.reconcile.plan import Plan, check_plans
from workers.reconcile.sweep import Asked
from workers.reconcile.sweeps import Sweeps
from workers.reconcile.tools import Tools
from workers.state.reconcile import Swept

__all__ = ["SweepNow", "SweptNow", "plan_named"]

_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class SweptNow:
    """What became of one company; `error` says why it was not swept."""

    company: str
    swept: Swept | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class SweepNow:
    """What an operator wants swept: of which companies, all records or from when on, and why.

    confirmed: how many records of a company may be gone, as the operator was shown. say: is given the name of a company
    and a few words, when a sweep begins, has to wait, and now and then how far it is.
    """

    companies: Sequence[str] = ()
    complete: bool = False
    since: datetime | None = None
    confirmed: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""
    actor: str = ""
    say: Callable[[str, str], None] | None = None

    def selector(self) -> dict[str, Any]:
        """Return what the audit keeps of it."""
        since = self.since.isoformat() if self.since else None
        found = {"companies": list(self.companies), "complete": self.complete, "since": since}
        return {**found, "confirmed": dict(self.confirmed)}

    async def run(self, store: Store, catalogue: Catalogue, settings: Settings, name: str) -> list[SweptNow]:
        """Sweep, and return what became of each company; raises ConfigError, and StoreUnavailable."""
        plan = plan_named(settings, catalogue, name)
        wanted = [each for each in plan.companies if not self.companies or each.name in self.companies]
        deed, counts = Deed("reconcile run", name, self.selector(), self.reason, self.actor), Counter[str]()
        counts[MATCHED] = len(wanted)
        tools = Tools(store, Batch.for_settings(store, settings), ReconcileMetrics(CollectorRegistry()))
        tools.say = self.say or tools.say
        async with (
            open_clients(settings, quota=erp_limit()) as clients,
            limiting(Limiter(store, process_name())),
            accounted(store, deed, counts),
        ):
            sweeps, turns = Sweeps([plan], tools, clients, catalogue), asyncio.Semaphore(_AT_ONCE)
            found = await asyncio.gather(*(self._sweep(sweeps, plan, each, turns) for each in wanted))
            counts[CHANGED] = sum(each.swept.made for each in found if each.swept)
            counts[FAILED] = sum(each.swept is None for each in found)
        return found

    async def _sweep(self, sweeps: Sweeps, plan: Plan, company: Company, turns: asyncio.Semaphore) -> SweptNow:
        since = None if self.since is None else int(self.since.timestamp() * 1000)
        async with turns:
            sweeps.tools.say(company.name, f"asks {plan.erp.base_url} for {plan.terms.path}")
            try:
                swept = await sweeps.sweep(
                    plan, company, Asked(self.complete, since, self.confirmed.get(company.name, 0))
                )
            except STORE_ERRORS:
                raise
            except (RouterError, ValueError) as error:
                return SweptNow(company.name, None, described(error))
        return SweptNow(company.name, swept, "" if swept else "another process sweeps it now")


def plan_named(settings: Settings, catalogue: Catalogue, name: str) -> Plan:
    """Return a reconciliation of the settings that there is; raises ConfigError."""
    return next(plan for plan in check_plans(settings, catalogue) if plan.name == name)
