"""Sweeps under a lease: one process of all sweeps the records of a company at any time."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from config.errors import described
from config.reconcile import Company
from router.events.catalogue import Catalogue
from router.store.errors import STORE_ERRORS
from router.store.leases import LeaseLost
from router.store.reconciling import Kept
from router.telemetry import logs
from workers.erp.clients import Clients
from workers.limits.of_erp import erp_limit
from workers.reconcile.plan import Plan
from workers.reconcile.reports import Reports
from workers.reconcile.sweep import Asked, Sweep
from workers.reconcile.tools import Tools
from workers.state.reconcile import Swept, read_state

__all__ = ["LEASE", "Sweeps"]

LEASE: Final = 30.0
"""Seconds after which another process may go on for one that has died."""
_log = logs.get("reconcile")


class Sweeps:
    """Sweeps the companies of reconciliations in one process."""

    def __init__(self, plans: Sequence[Plan], tools: Tools, clients: Clients, catalogue: Catalogue) -> None:
        self.plans = plans
        self.tools = tools
        self._clients = clients
        store = tools.store
        self._reports = {plan.name: Reports(store, catalogue, plan.reported_by, plan.erp.tenant_id) for plan in plans}
        for plan in plans:
            tools.metrics.show(plan.name)

    def kept(self, plan: Plan, company: Company) -> Kept:
        """Return what is kept of a company, for a sweep of its own."""
        return Kept(self.tools.store, plan.name, company.name, LEASE)

    async def sweep(self, plan: Plan, company: Company, asked: Asked | None = None) -> Swept | None:
        """Sweep a company, and return how far it is then; without `asked` only where that is due.

        Returns None where another process sweeps it, or nothing is due. Raises StoreUnavailable, and where `asked`
        whatever the sweep ended in, which is written down in any case.
        """
        kept = self.kept(plan, company)
        async with kept.lease.held() as is_ours:
            return await self._leased(plan, company, kept, asked) if is_ours else None

    async def _leased(self, plan: Plan, company: Company, kept: Kept, asked: Asked | None) -> Swept | None:
        todo = self._todo(plan, await read_state(self.tools.store, kept.state), asked)
        if todo is None:
            return None
        erp = self._clients.for_event(plan.subject(company), erp_limit(plan.terms.reserve))
        sweep = Sweep(plan, company, self.tools, kept, erp, self._reports[plan.name])
        outcomes = self.tools.metrics.sweeps
        try:
            swept = await kept.lease.renewed(sweep.run(todo))
        except (LeaseLost, *STORE_ERRORS):
            outcomes.labels(plan.name, "failed").inc()
            raise
        except Exception as error:
            outcomes.labels(plan.name, "failed").inc()
            _log.warning("sweep_failed", reconciliation=plan.name, company=company.name, error=described(error))
            await sweep.failed(described(error))
            if asked is not None:
                raise
            return None
        outcomes.labels(plan.name, "held" if swept.held and todo.complete else "done").inc()
        return swept

    def _todo(self, plan: Plan, state: Swept, asked: Asked | None) -> Asked | None:
        """Return what to do: all records are listed once in `deletes`, too; None where nothing is asked or due."""
        now, deletes, is_new = self.tools.now(), int(plan.terms.deletes * 1000), state.about != plan.about
        if asked is None and not is_new and state.due > now:
            return None
        todo, is_due = asked or Asked(), bool(deletes) and (is_new or state.complete + deletes <= now)
        return replace(todo, complete=todo.complete or is_due)
