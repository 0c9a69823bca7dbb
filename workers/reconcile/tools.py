"""What the sweeps of a process share: the store, the time, and the patience to ask an ERP that is busy or away."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from config.errors import described
from router.intake.writer import Batch
from router.store.client import Store
from router.telemetry import logs
from workers.erp.errors import ErpUnavailable
from workers.outcomes import Defer
from workers.reconcile.metrics import ReconcileMetrics
from workers.record import Record

__all__ = ["Tools"]

_AGAIN: Final = (2.0, 8.0, 30.0)
"""Seconds until a request is made again that the ERP did not answer."""
_LONGEST: Final = 2 * 3600.0
"""Seconds that one request waits for the quota in all."""
_OFTEN: Final = 10.0
"""Seconds from one word of how far a sweep is to the next, at least."""
_log = logs.get("reconcile")


def _say(company: str, words: str) -> None:
    _log.info("sweep_goes_on", company=company, news=words)


class Tools:
    """The tools of one process; `clock` in epoch seconds, `sleep` takes seconds.

    say: is given the name of a company and a few words, when its sweep has to wait, and now and then how far it is.
    """

    def __init__(
        self,
        store: Store,
        batch: Batch,
        metrics: ReconcileMetrics,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        say: Callable[[str, str], None] = _say,
    ) -> None:
        self.store = store
        self.batch = batch
        self.metrics = metrics
        self.clock = clock
        self.sleep = sleep
        self.say = say
        self._asked = Counter[str]()
        self._said = dict[str, int]()

    def now(self) -> int:
        """Return what time it is, epoch milliseconds."""
        return int(self.clock() * 1000)

    async def ask(self, request: Callable[[], Awaitable[Record]], *, company: str) -> Record:
        """Make a request: again when the quota lets it go, and a few times where the ERP did not answer."""
        self._count(company)
        waited, again = 0.0, iter(_AGAIN)
        while True:
            try:
                return await request()
            except Defer as deferral:
                pause = max(0.1, deferral.delay)
                if (waited := waited + pause) > _LONGEST:
                    raise
                self.say(company, f"{described(deferral)}; goes on in {pause:.0f} s")
            except ErpUnavailable as error:
                following = next(again, None)
                if following is None:
                    raise
                pause = following
                self.say(company, f"{described(error)}; tries again in {pause:.0f} s")
            await self.sleep(pause)

    def _count(self, company: str) -> None:
        """Say now and then how many requests were made."""
        now = self.now()
        since = self._said.setdefault(company, now)
        self._asked[company] += 1
        if now - since >= 1000 * _OFTEN:
            self._said[company] = now
            self.say(company, f"{self._asked[company]} requests so far")
