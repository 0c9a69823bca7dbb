"""What the sweeps of a process share: the store, the time, and the patience to ask an ERP that is busy or away."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from router.intake.writer import Batch
from router.store.client import Store
from workers.erp.errors import ErpUnavailable
from workers.outcomes import Defer
from workers.reconcile.metrics import ReconcileMetrics
from workers.record import Record

__all__ = ["Tools"]

_AGAIN: Final = (2.0, 8.0, 30.0)
"""Seconds until a request is made again that the ERP did not answer."""
_LONGEST: Final = 2 * 3600.0
"""Seconds that one request waits for the quota in all."""


class Tools:
    """The tools of one process; `clock` in epoch seconds, `sleep` takes seconds."""

    def __init__(
        self,
        store: Store,
        batch: Batch,
        metrics: ReconcileMetrics,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.store = store
        self.batch = batch
        self.metrics = metrics
        self.clock = clock
        self.sleep = sleep

    def now(self) -> int:
        """Return what time it is, epoch milliseconds."""
        return int(self.clock() * 1000)

    async def ask(self, request: Callable[[], Awaitable[Record]]) -> Record:
        """Make a request: again when the quota lets it go, and a few times where the ERP did not answer."""
        waited, again = 0.0, iter(_AGAIN)
        while True:
            try:
                return await request()
            except Defer as deferral:
                pause = max(0.1, deferral.delay)
                if (waited := waited + pause) > _LONGEST:
                    raise
            except ErpUnavailable:
                following = next(again, None)
                if following is None:
                    raise
                pause = following
            await self.sleep(pause)
