"""The sweeper: sees to it that each company is swept when it is due, by one worker of all, beside their subscriptions.

Each company has a task of its own, which sleeps until then: one that waits for its quota holds up no other.
"""

import asyncio
import time
from random import Random
from typing import Final, Self

from config.errors import described
from config.reconcile import Company
from router.store.errors import STORE_ERRORS
from router.store.leases import LeaseLost
from router.tasks.ending import end
from router.tasks.outage import Reminder
from router.telemetry import logs
from workers.reconcile.plan import Plan
from workers.reconcile.sweeps import LEASE, Sweeps
from workers.state.reconcile import read_state

__all__ = ["Sweeper"]

_SOON: Final = 5.0
"""Seconds after the start within which the first look is taken, so that workers do not ask all at once."""
_LONGEST: Final = 3600.0
"""Seconds after which it is looked again when the next sweep is due."""
_OUTAGE: Final = 5.0
_log = logs.get("reconcile")


class Sweeper:
    """Sweeps as long as the context is open."""

    def __init__(self, sweeps: Sweeps, random: Random | None = None) -> None:
        self._sweeps = sweeps
        self._random = random or Random()  # noqa: S311 - jitter
        self._reminder = Reminder(time.monotonic)
        self._tasks = list[asyncio.Task[None]]()

    async def __aenter__(self) -> Self:
        """Begin, in the background."""
        for plan in self._sweeps.plans:
            for company in plan.companies:
                self._tasks.append(asyncio.create_task(self._run(plan, company), name=f"sweep-{plan.name}"))
        return self

    async def __aexit__(self, *_: object) -> None:
        """End at once: what is under way is done again by the next sweep."""
        await end(self._tasks)

    async def _run(self, plan: Plan, company: Company) -> None:
        await asyncio.sleep(self._random.uniform(0, min(_SOON, plan.terms.every / 2)))
        while True:
            pause = await self._turn(plan, company)
            await asyncio.sleep(pause)

    async def _turn(self, plan: Plan, company: Company) -> float:
        """Sweep if that is due; return in how many seconds to look again."""
        try:
            if await self._left(plan, company) <= 0:
                await self._sweeps.sweep(plan, company)
            self._reminder.over()
            left = await self._left(plan, company)
        except (LeaseLost, *STORE_ERRORS) as error:
            if self._reminder.is_due():
                _log.warning("sweep_put_off", reconciliation=plan.name, company=company.name, error=described(error))
            return self._random.uniform(_OUTAGE, 2 * _OUTAGE)
        except Exception:  # noqa: BLE001 - events are handled, whether records are swept or not
            _log.exception("sweep_broken", reconciliation=plan.name, company=company.name)
            return self._random.uniform(LEASE, 2 * LEASE)
        # Still due: another process sweeps it now.
        return left * self._random.uniform(1.0, 1.05) if left > 0 else self._random.uniform(LEASE / 3, LEASE)

    async def _left(self, plan: Plan, company: Company) -> float:
        """Return in how many seconds the next sweep is due."""
        tools = self._sweeps.tools
        state = await read_state(tools.store, tools.store.keys.swept(plan.name, company.name))
        if state.about != plan.about:
            return 0.0
        return min(max(0.0, (state.due - tools.now()) / 1000), _LONGEST)
