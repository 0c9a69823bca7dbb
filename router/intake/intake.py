"""What stands between a verified request and the store: group commit, and the spool with its drain."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from config.settings import Settings
from router.events.catalogue import Catalogue
from router.intake.drain import Drain
from router.intake.erased import Erased
from router.intake.erasures import Erasures
from router.intake.group_commit import Appender
from router.intake.spool import Spool
from router.intake.spool_rescue import SpoolKeeper
from router.intake.writer import Batch
from router.store.client import Store
from router.store.health.guard import StoreGuard
from router.tasks.ending import end
from router.telemetry import logs

_log = logs.get("spool")


class Intake:
    """Takes the entries of requests; `spool` is None where the settings allow it no bytes."""

    def __init__(self, batch: Batch, spool: Spool | None, guard: StoreGuard, erased: Erased | None = None) -> None:
        self.batch = batch
        self.spool = spool
        self.appender = Appender(batch, spool)
        self._draining = asyncio.create_task(_drain(spool, batch, guard, erased)) if spool is not None else None
        self._keeping = asyncio.create_task(SpoolKeeper(spool).run()) if spool is not None else None

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, store: Store, guard: StoreGuard) -> AsyncIterator["Intake"]:
        """Yield the intake of a process, and close its spool; raises ConfigError where the spool cannot be written.

        Until the guard has judged the store all goes to the spool, if there is one: the store may be one that is
        refused.
        """
        limits = settings.ingress
        batch, spool = Batch.for_settings(store, settings), None
        if limits.spool_max_bytes:
            spool = Spool.open(settings.data_dir / "spool", max_bytes=limits.spool_max_bytes)
            if not guard.is_settled:
                spool.store.refused(guard.error, away=True)
        erased = Erased(Erasures(store), lambda: Catalogue.for_settings(settings).publishers)
        intake = cls(batch, spool, guard, erased)
        try:
            yield intake
        finally:
            await intake._close()

    async def finish(self, grace: float) -> None:
        """Answer the requests that wait, and drain the spool while the store takes it, for up to `grace` seconds."""
        await self.appender.drain()
        if self.spool is None or self._draining is None:
            return
        await self.spool.written()
        if self.spool.entries and not self.spool.store.reason:
            settling = asyncio.create_task(self.spool.settled())
            await asyncio.wait([settling, self._draining], timeout=grace, return_when=asyncio.FIRST_COMPLETED)
            settling.cancel()
        if self.spool.entries:
            _log.warning("spool_left", entries=self.spool.entries, bytes=self.spool.bytes)

    async def _close(self) -> None:
        if self.spool is None or self._draining is None or self._keeping is None:
            return
        await end([self._draining, self._keeping])
        await self.spool.written()
        if self.spool.entries:
            await SpoolKeeper(self.spool).look()
        await self.spool.close()


async def _drain(spool: Spool, batch: Batch, guard: StoreGuard, erased: Erased | None) -> None:
    await guard.settled()
    await Drain(spool, batch, Random(), erased=erased).run()  # noqa: S311 - jitter
