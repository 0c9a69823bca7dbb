"""Group commit: what all waiting requests want appended goes to the store in one round trip.

While one round trip is under way the next batch gathers, so batches grow with the load by themselves: a lone request
waits for nobody, and under load many share one script call for each stream.

What the store does not take goes to the spool, in the order in which it came, before anybody hears of it. Whether the
store had taken it after all (its reply was lost) need not be known: appending once more finds the marker.
"""

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import cast

from config.errors import described
from router.intake.entry import Answer, Entry, Waiting
from router.intake.spool import Spool
from router.intake.writer import Batch, Outcome
from router.store.errors import StoreRefused, StoreUnavailable
from router.telemetry import logs

_MAX_ITEMS = 2000
_MAX_BYTES = 8 * 1024 * 1024
_ONLY_FLAGS = frozenset({bool})

_log = logs.get("ingress")


class Appender:
    """Stores the entries of requests: in the store, or in the spool (if there is one) while the store does not."""

    def __init__(self, batch: Batch, spool: Spool | None = None) -> None:
        self._batch = batch
        self._spool = spool
        self._failing = False
        self._waiting: list[Waiting] = []
        self._task: asyncio.Task[None] | None = None

    def append(self, entries: Sequence[Entry], answer: Answer) -> None:
        """Store entries and call `answer`: for each entry True appended or spooled, False a duplicate.

        It calls `answer` with StoreUnavailable unless all of them are stored. Then some may be: appending them again is
        safe. It is a callback and no future, so that under load senders have their answers one round of the event loop
        sooner.
        """
        waiting = Waiting(entries, answer)
        if self._spool is not None and self._spool.wants(entries) and (self._task is None or self._spool.store.is_away):
            self._spool.put(waiting)
            return
        self._waiting.append(waiting)
        if self._task is None:
            self._task = asyncio.create_task(self._commit_all())

    async def drain(self) -> None:
        """Wait until nothing is waiting any more."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _commit_all(self) -> None:
        try:
            while self._waiting:
                self._divert()
                if self._waiting:
                    await self._commit(self._take())
        finally:
            self._task = None

    def _divert(self) -> None:
        """Send to the spool, in their order, those whose streams have come to wait there since they were queued."""
        if self._spool is None or self._spool.is_idle:
            return
        waiting, self._waiting = self._waiting, []
        for request in waiting:
            if self._spool.wants(request.entries):
                self._spool.put(request)
            else:
                self._waiting.append(request)

    def _take(self) -> list[Waiting]:
        """Take as many waiting requests as one round trip should carry, at least one."""
        items = size = count = 0
        for waiting in self._waiting:
            items += len(waiting.entries)
            size += sum([entry.size for entry in waiting.entries])
            if count and (items > _MAX_ITEMS or size > _MAX_BYTES):
                break
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    async def _commit(self, batch: list[Waiting]) -> None:
        outcomes = await self._batch.append([entry for waiting in batch for entry in waiting.entries])
        shares = iter(outcomes)
        answers = [(waiting, list(islice(shares, len(waiting.entries)))) for waiting in batch]
        if _ONLY_FLAGS.issuperset(map(type, outcomes)):
            self._failing = False
            for waiting, flags in answers:
                waiting.tell(cast("list[bool]", flags))
            return
        errors = [error for _, flags in answers if (error := _error_of(flags)) is not None]
        if errors and len(errors) == len(batch) and not any(isinstance(error, StoreRefused) for error in errors):
            self._store_failed(errors[0], answers)
            return
        for waiting, flags in answers:
            self._answer(waiting, flags)

    def _answer(self, waiting: Waiting, flags: Sequence[Outcome]) -> None:
        error = _error_of(flags)
        if error is None:
            waiting.tell([bool(flag) for flag in flags])
            self._failing = False
        elif self._spool is None:
            self._say_failed(error)
            waiting.tell(_unavailable(error))
        else:
            self._spool.store.refused(error)
            self._spool.put(waiting)

    def _say_failed(self, error: BaseException) -> None:
        """Log the first failure in a row: each request would only say the same."""
        if not self._failing:
            _log.warning("append_failed", error=described(error))
        self._failing = True

    def _store_failed(self, error: BaseException, answers: Sequence[tuple[Waiting, Sequence[Outcome]]]) -> None:
        """Let go of those too who came meanwhile: they would wait for a second time-out of the same kind."""
        if self._spool is not None:
            self._spool.store.refused(error, away=True)
        waiting, self._waiting = self._waiting, []
        for request in [*(request for request, _ in answers), *waiting]:
            self._answer(request, [error])


def _error_of(flags: Sequence[Outcome]) -> BaseException | None:
    return next((flag for flag in flags if isinstance(flag, BaseException)), None)


def _unavailable(error: BaseException) -> StoreUnavailable:
    unavailable = StoreUnavailable(f"the store did not append: {described(error)}")
    unavailable.__cause__ = error
    return unavailable
