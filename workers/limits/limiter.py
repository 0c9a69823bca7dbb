"""The limiter of a worker: asks the store for calls, and goes on with a local share while that is away."""

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from random import Random

from router.store.client import Store
from router.store.limits import Heard, Quota, Standing
from router.store.scripts import Call
from router.telemetry import logs
from workers.limits.asking import Asking
from workers.limits.current import Current
from workers.limits.home import Home
from workers.limits.share import Share
from workers.limits.terms import Terms
from workers.metrics import WorkerMetrics
from workers.outcomes import Defer

__all__ = ["Limiter", "current", "limiting"]

_SOON = 1.0
"""Seconds to wait for the answer that says how much there is."""
_SPREAD = 30.0
"""Seconds over which those that waited for a window come back, at most; a twentieth of a short window."""
_MOST = 10_000
"""Shares that are remembered."""

_log = logs.get("limit")
_current: Current["Limiter"] = Current("limiter")


class Limiter:
    """Grants calls of all limits in one worker; without a store all by itself."""

    def __init__(
        self,
        store: Store | None,
        worker: str,
        metrics: WorkerMetrics | None = None,
        *,
        random: Random | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._worker = worker
        self._metrics = metrics
        self._random = random or Random()  # noqa: S311 - jitter is no secret
        self.clock = clock
        self._monotonic = monotonic
        self._shares: dict[tuple[str, str], Share] = {}
        self._asking = Asking(store, "limits_shared_out", clock, monotonic)
        self.home = Home()

    async def acquire(self, limit: Terms, subject: str) -> None:
        """Return where a call may go; raises Defer."""
        reserve = limit.reserve
        share = self._share(limit, subject)
        standing = await self._ask(limit, self._quota(limit, subject), share, reserve)
        if standing is not None:
            granted, wait = standing.granted, standing.wait
            self._count(limit, "granted" if granted else "deferred")
        else:
            share.reserve = reserve
            granted, wait = share.take(self._monotonic())
            self._count(limit, "local" if granted else "deferred")
        if not granted:
            raise self._deferral(limit, subject, wait)

    async def learn(self, limit: Terms, subject: str, heard: Heard) -> None:
        """Take note of what an answer said; the store being away is no error."""
        share = self._share(limit, subject)
        if heard.closed is not None:
            self._count(limit, "refused")
            _log.warning("limit_refused", limit=limit.name, subject=subject, closed=round(heard.closed, 3))
        if (quota := self._quota(limit, subject)) is not None:
            await self._call(lambda spent: quota.learn(self._worker, spent, heard), share)
        share.learn(heard, self._monotonic())

    async def _ask(self, limit: Terms, quota: Quota | None, share: Share, reserve: float) -> Standing | None:
        if quota is None:
            return None
        standing = await self._call(lambda spent: quota.take(self._worker, spent, reserve), share)
        if standing is not None and self._store is not None:
            await self._asking.note(self._store.keys.limits(), limit.name)
        return standing

    async def _call(self, made: Callable[[int], Call], share: Share) -> Standing | None:
        """Return what the store says, and report to it what went without it; None where it is away."""
        spent, share.spent = share.spent, 0  # nobody else is to report these, too
        reply = None
        try:
            reply = await self._asking.call(made(spent))
        finally:
            if reply is None:
                share.spent += spent
        if reply is None:
            return None
        standing = Standing.of(reply)
        share.follow(standing, self._monotonic())
        return standing

    def _quota(self, limit: Terms, subject: str) -> Quota | None:
        if self._store is None:
            return None
        return Quota(self._store.keys, limit.name, subject, limit.window, limit.rate)

    def _share(self, limit: Terms, subject: str) -> Share:
        key = (limit.name, subject)
        if key not in self._shares:
            if len(self._shares) >= _MOST:
                del self._shares[next(iter(self._shares))]
            self._show(limit)
            self._shares[key] = Share(limit.window, limit.rate, limit.reserve)
        return self._shares[key]

    def _deferral(self, limit: Terms, subject: str, wait: float | None) -> Defer:
        whose = f" of {subject}" if subject else ""
        if wait is None:
            return Defer(self._random.uniform(_SOON / 2, _SOON), f"the limit {limit.name}{whose} is being found out")
        later = wait + self._random.uniform(0, min(_SPREAD, limit.window / 20, wait + 1.0))
        return Defer(later, f"the limit {limit.name}{whose} is used up")

    def _show(self, limit: Terms) -> None:
        """Tell of a limit from now on: of a counter that appears with its first count no increase is seen."""
        if self._metrics is not None:
            for outcome in ("granted", "deferred", "local", "refused"):
                self._metrics.limit_calls.labels(limit.name, outcome)

    def _count(self, limit: Terms, outcome: str) -> None:
        if self._metrics is not None:
            self._metrics.limit_calls.labels(limit.name, outcome).inc()


def current() -> Limiter | None:
    """Return the limiter of the worker in which this runs."""
    return _current.get()


def limiting(limiter: Limiter) -> AbstractAsyncContextManager[Limiter]:
    """Have limits ask this limiter, in all that is started meanwhile."""
    return _current.having(limiter)
