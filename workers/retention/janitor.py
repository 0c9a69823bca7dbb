"""The janitor: sees to it that once in an interval one worker of all does a round of retention.

Every worker asks, and the first one does it for all streams, whichever subscription reads them. That two do
it at once, when a round takes longer than the interval, does no harm: every script decides for itself.
"""

import asyncio
from random import Random
from typing import Self

import structlog

from config.errors import described
from config.settings import RetentionSettings
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import STORE_ERRORS, StoreRefused
from router.tasks.ending import set_within
from workers.archive.archive import Archive
from workers.archive.archiver import Archiver
from workers.archive.metrics import ArchiveMetrics
from workers.metrics import WorkerMetrics
from workers.retention.round import Retention

_SOON = 5.0
"""Seconds after the start within which the first round is asked for."""

log = structlog.get_logger("retention")


class Janitor:
    """Does a round in every interval in which no other worker was faster, as long as the context is open.

    `name` tells workers apart. `archived` are the archive and its metrics, where there is one.
    """

    def __init__(
        self,
        name: str,
        store: Store,
        catalogue: Catalogue,
        settings: RetentionSettings,
        metrics: WorkerMetrics,
        archived: tuple[Archive, ArchiveMetrics] | None = None,
    ) -> None:
        self._name = name
        self._store = store
        self._interval = settings.interval
        self._stopping = asyncio.Event()
        self._metrics = metrics
        window = int(settings.events * 1000)
        archiver = Archiver(archived[0], store, window, archived[1], self._stopping) if archived else None
        self._retention = Retention(store, catalogue, settings, metrics, self._stopping, archiver)
        self._random = Random()  # noqa: S311 - keeps workers from asking all at once
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin, in the background."""
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        """End as soon as the round trip under way, if any, is done."""
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def ask(self) -> None:
        """Do a round if nobody has done that of this interval."""
        try:
            if await self._claim():
                await self._retention.round()
        except STORE_ERRORS as error:
            self._metrics.rounds_failed.inc()
            log.warning("retention_failed", error=described(error))
        except Exception:  # events are handled, whether old ones are removed or not
            self._metrics.rounds_failed.inc()
            log.exception("retention_broken")

    async def _run(self) -> None:
        await set_within(self._random.uniform(0, min(_SOON, self._interval)), self._stopping)
        while not self._stopping.is_set():
            await self.ask()
            # never less than the interval, or the claim for our last round would refuse us the next
            await set_within(self._interval * self._random.uniform(1.0, 1.1), self._stopping)

    async def _claim(self) -> bool:
        """Return whether the round of this interval is ours to do."""
        milliseconds = max(1, int(self._interval * 1000))
        try:
            key = self._store.keys.janitor()
            return bool(await self._store.command("SET", key, self._name, "NX", "PX", milliseconds))
        except StoreRefused as error:  # such as out of memory, when a round is needed most
            log.warning("claim_refused", error=str(error))
            return True
