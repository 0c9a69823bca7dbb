"""Draining the spool: what waits there goes to the store in the order in which it came, by the same script as ever."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from random import Random

from config.errors import described
from router.intake.erased import Erased
from router.intake.spool import Spool
from router.intake.spool_file import Row
from router.intake.writer import Batch
from router.store.errors import StoreUnavailable
from router.store.scripts import BATCH
from router.tasks.backoff import Backoff
from router.tasks.outage import Reminder
from router.telemetry import logs

_LIMIT = 1000
_MAX_BYTES = 1024 * 1024
"""Entries to read from the disk at once, and bytes to send at once: on a slow line they must arrive in time."""
_ADOPT = 60.0
"""Seconds between two looks for what other processes left over: the disk is looked at, not the store."""

_log = logs.get("spool")


class Drain:
    """Moves entries from a spool to the store, as long as it is given to run."""

    def __init__(
        self,
        spool: Spool,
        batch: Batch,
        random: Random,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        erased: Erased | None = None,
    ) -> None:
        self._spool = spool
        self._erased = erased
        self._batch = batch
        self._backoff = Backoff(random)
        self._monotonic = monotonic
        self._reminder = Reminder(monotonic)
        self._moved = 0

    async def run(self) -> None:
        """Drain whenever there is something to drain, until cancelled."""
        adopt_at = self._monotonic() + _ADOPT
        while True:
            await self._spool.work(max(0.0, adopt_at - self._monotonic()))
            if self._monotonic() >= adopt_at:
                await self._spool.adopt()
                adopt_at = self._monotonic() + _ADOPT
            if await self.once():
                self._backoff.reset()
            else:
                await asyncio.sleep(self._backoff.next())

    async def once(self) -> bool:
        """Move what can be moved; return whether that was everything."""
        try:
            done = await self._move_all()
            await self._spool.rest()
        except Exception as error:  # noqa: BLE001 - what waits must not wait for a restart, whatever it is
            if self._reminder.is_due():
                _log.exception("spool_failed", error=str(error))
            return False
        if self._moved and not self._spool.entries:
            _log.info("spool_drained", entries=self._moved)
            self._moved = 0
        return done

    async def _move_all(self) -> bool:
        refused: dict[str, BaseException] = {}
        while waiting := _first(await self._spool.oldest(_LIMIT, without=refused)):
            if (error := await self._look()) is not None:
                refused |= {row.entry.stream: error for row in waiting}
                break
            rows = await self._without_erased(waiting)
            outcomes = await self._batch.append([row.entry for row in rows])
            stored = [row for row, outcome in zip(rows, outcomes, strict=True) if isinstance(outcome, bool)]
            failed = {row.entry.stream: o for row, o in zip(rows, outcomes, strict=True) if not isinstance(o, bool)}
            refused |= failed
            if stored:
                self._spool.store.answered()
                self._spool.has_room()
            self._moved += len(stored)
            await self._spool.remove(stored)
            if rows and not stored and self._batch.is_hopeless(failed.values()):
                break
        else:
            await self._spool.remove([])
        self._report(refused)
        return not refused

    async def _look(self) -> StoreUnavailable | None:
        """Look what was erased, before any of it goes to the store; return why that is not known."""
        if self._erased is not None:
            try:
                await self._erased.look()
            except StoreUnavailable as error:
                return error
        return None

    async def _without_erased(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Take out what was erased since it was received; return the others."""
        if self._erased is None or not (gone := [row for row in rows if self._erased.has(row.entry)]):
            return rows
        await self._spool.remove(gone)
        _log.info("spool_erased", entries=len(gone))
        ids = {row.id for row in gone}
        return [row for row in rows if row.id not in ids]

    def _report(self, refused: Mapping[str, BaseException]) -> None:
        """Say how the store took it; what it refuses is logged once a minute."""
        if not refused:
            self._spool.store.succeeded()
            self._spool.has_room()
            self._reminder.over()
            return
        stream, error = next(iter(refused.items()))
        self._spool.store.refused(error)
        if self._reminder.is_due():
            waiting = {"entries": self._spool.entries, "bytes": self._spool.bytes, "age": round(self._spool.age)}
            _log.warning("spool_waiting", **waiting, stream=stream, error=described(error))


def _first(rows: Sequence[Row]) -> Sequence[Row]:
    """Return as many of the first rows as one round trip should carry, at least one."""
    seen: Counter[str] = Counter()
    size = 0
    for index, row in enumerate(rows):
        seen[row.entry.stream] += 1
        size += row.entry.size
        if seen[row.entry.stream] > BATCH or (index and size > _MAX_BYTES):
            return rows[:index]
    return rows
