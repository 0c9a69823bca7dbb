"""The learner: one worker of all, by a lease, reads along what comes and learns the fields of each type.

It reads a sample, at a bounded pace: of a type of which more comes, only the newest. So it costs the ingress nothing
and the store little, however much comes. What it knows is in the store, so that another goes on where it ended.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from random import Random
from typing import Final, Self

from config.errors import described
from config.publishers import UNLISTED
from config.settings import DriftSettings
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import STORE_ERRORS
from router.store.leases import Lease, LeaseLost
from router.store.merging import newest_first
from router.store.reading import Span
from router.tasks.ending import end
from router.tasks.iterating import first
from router.tasks.outage import Reminder
from router.telemetry import logs
from workers.drift.kept import Kept
from workers.drift.metrics import DriftMetrics
from workers.drift.news import News
from workers.drift.notebook import read_all, write
from workers.drift.reports import Reports
from workers.drift.sample import Sample
from workers.incidents import Incidents

__all__ = ["Learner"]

_SAMPLE: Final = 50
"""Entries of a stream that are read at once, the newest."""
_BLOCK: Final = 60.0
"""Seconds that a read waits for something new."""
_LEASE: Final = 3 * _BLOCK

_log = logs.get("drift")


class Learner:
    """Learns as long as the context is open; `clock` in epoch seconds."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        settings: DriftSettings,
        metrics: DriftMetrics,
        *,
        clock: Callable[[], float] = time.time,
        block: float = _BLOCK,
    ) -> None:
        self._store = store
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._streams = [name for name in catalogue.streams() if not name.endswith(f"/{UNLISTED}")]
        self._random = Random()  # noqa: S311 - jitter
        self.lease = Lease(store, store.keys.learning(), _LEASE)
        self._incidents = Incidents(store, clock)
        self._news = News(store, block)
        self._reminder = Reminder(time.monotonic)
        self._reports: Reports | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin, in the background."""
        self._task = asyncio.create_task(self._run(), name="drift")
        return self

    async def __aexit__(self, *_: object) -> None:
        """End at once, and let another worker go on."""
        if self._task is not None:
            await end([self._task])
        await self._news.aclose()
        await self.lease.give_up()  # it may have it, too, where its last turn failed

    @property
    def is_learning(self) -> bool:
        """Whether this worker has the lease, as far as it knows."""
        return self._reports is not None

    async def _run(self) -> None:
        await asyncio.sleep(self._random.uniform(0, min(5.0, self._settings.every)))
        while True:
            pause = await self._turn()
            await asyncio.sleep(pause * self._random.uniform(1.0, 1.1))

    async def _turn(self) -> float:
        """Learn from what came, if this worker has the lease; return in how many seconds to go on. Never raises."""
        try:
            if not await self.lease.take():
                self._reports = None
                return _BLOCK
            await self.look()
            self._reminder.over()
        except LeaseLost:
            self._reports = None
            return _BLOCK
        except STORE_ERRORS as error:
            self._reports = None
            if self._reminder.is_due():
                _log.warning("learning_put_off", error=described(error))
            return _BLOCK / 6
        except Exception:  # noqa: BLE001 - events are handled, whether anybody learns or not
            self._reports = None
            _log.exception("learning_broken")
            return _BLOCK
        return self._settings.every

    async def look(self) -> None:
        """Wait until something has come, and learn from that; raises LeaseLost and StoreUnavailable."""
        if self._reports is None:
            self._reports = Reports(await read_all(self._store), self._incidents, self._metrics, self._clock)
        reports = self._reports
        known = {stream: reports.kept.get(stream) or Kept() for stream in self._streams}
        await self._write(reports, await reports.end_old())
        news = await self._news.wait({stream: one.last for stream, one in known.items()})
        await self.lease.renew()  # the wait may have been longer than it lasts
        for stream in news:
            reports.kept[stream] = known[stream]
            await self._learn(reports, stream)
        await self._write(reports, news)

    async def _write(self, reports: Reports, streams: Collection[str]) -> None:
        if streams:
            await write(self._store, self.lease, {stream: reports.kept[stream] for stream in streams})

    async def _learn(self, reports: Reports, stream: str) -> None:
        """Learn from the newest entries of a stream behind those that were read before, oldest first."""
        kept = reports.kept[stream]
        missing = self._settings.learn - kept.schema.events
        key, number = self._store.keys.events(stream), max(_SAMPLE, min(missing, 10 * _SAMPLE))
        newest = newest_first(self._store, [key], _behind(kept.last))
        found = [Sample.of(entry) async for _, entry in first(newest, number)]
        if not found:
            return
        kept.last, kept.at = found[0].entry_id, int(self._clock() * 1000)
        for sample in reversed(found):
            if sample.shape is not None:
                changes = kept.schema.learn(sample.shape, sample.company, sample.at, self._settings)
                await reports.add(stream, changes, sample)


def _behind(last: str) -> Span:
    return Span("-" if last == "0-0" else f"({last}", "+")
