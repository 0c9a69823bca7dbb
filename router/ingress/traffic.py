"""What came, and what was refused, as the watcher of silence wants to know it: counted here, noted once a minute.

Only items whose request was verified count as come, and only those that were new: nobody ends a silence by sending what
he may not, or once more what he overheard. Of refused requests it is known how many there were for each publisher, so a
stranger's flood takes no more room than one request.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Final, Self

from config.errors import described
from router.intake.spool import Spool
from router.store.client import Store
from router.store.errors import STORE_ERRORS
from router.store.reading import checked
from router.store.watched.traffic import HOUR, MOST, SLOT, SLOTS, Came, Refused, Spooled, note
from router.tasks.ending import end, in_time
from router.tasks.outage import Reminder
from router.telemetry import logs

__all__ = ["Traffic", "TrafficNotes"]

EVERY: Final = 60.0
"""Seconds between two notes."""
_SOON: Final = 2.0
"""Seconds after the start within which the first is made."""
_PATIENCE: Final = 3.0
_HOURS: Final = 72
"""Hours that are kept for a store that is away."""
_COMPANY: Final = 100  # characters

_log = logs.get("ingress")


class Traffic:
    """The counts since they were taken last; times in epoch milliseconds."""

    def __init__(self) -> None:
        self._came: dict[int, dict[tuple[str, str], list[int]]] = {}
        self._refused: dict[str, Refused] = {}

    def came(self, publisher: str, companies: Sequence[str], new: Sequence[bool], at: int) -> None:
        """Count the items of a request, each with its company or an empty text, and whether it was new."""
        counts = self._came.get(at // HOUR)
        if counts is None:
            counts = self._hour(at // HOUR)
        for company, is_new in zip(companies, new, strict=True):
            if is_new:
                row = counts.get((publisher, company))
                if row is None:
                    row = self._row(counts, publisher, company)
                row[0] += 1
                row[1] = at

    def refused(self, publisher: str, reason: str, at: int) -> None:
        """Count a request that was not let in; `publisher` is one of the catalogue."""
        before = self._refused.get(publisher)
        requests, since = (before.requests, before.since) if before else (0, at)
        self._refused[publisher] = Refused(requests + 1, since, at, reason)

    def take(self) -> tuple[dict[int, dict[str, Came]], dict[str, Refused]]:
        """Return what came, by hour (counted since 1970) and subject, and what was refused; begin again."""
        came, self._came = self._came, {}
        refused, self._refused = self._refused, {}
        return {hour: _by_subject(counts) for hour, counts in came.items()}, refused

    def _hour(self, hour: int) -> dict[tuple[str, str], list[int]]:
        if len(self._came) >= _HOURS:
            del self._came[min(self._came)]
        return self._came.setdefault(hour, {})

    @staticmethod
    def _row(counts: dict[tuple[str, str], list[int]], publisher: str, company: str) -> list[int]:
        name = (publisher, company if len(counts) < MOST else "")
        return counts.setdefault(name, [0, 0])


def _by_subject(counts: dict[tuple[str, str], list[int]]) -> dict[str, Came]:
    """Return the counts of the publishers, those that sent something, and then of their companies."""
    found = dict[str, Came]()
    for (publisher, _), (events, last) in counts.items():
        before = found.get(publisher, Came(0, 0))
        found[publisher] = Came(before.events + events, max(before.last, last))
    rows = (
        (f"{publisher}/{company[:_COMPANY]}", Came(*row)) for (publisher, company), row in counts.items() if company
    )
    return found | dict(rows)


class TrafficNotes:
    """Notes the traffic in the store as long as the context is open; `clock` in epoch seconds.

    may_write: whether the store is known to be one that is used. ready: the publishers that may send, by the settings.
    """

    def __init__(
        self,
        traffic: Traffic,
        store: Store,
        process: str,
        spool: Spool | None = None,
        *,
        may_write: Callable[[], bool] = lambda: True,
        ready: Callable[[], Iterable[str]] = tuple,
        every: float = EVERY,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._traffic = traffic
        self._store = store
        self._process = process
        self._spool = spool
        self._may_write = may_write
        self._ready = ready
        self._every = every
        self._clock = clock
        self._random = Random()  # noqa: S311 - keeps processes from writing all at once
        self._reminder = Reminder(time.monotonic)
        self._since = clock()
        self._came: dict[int, dict[str, Came]] = {}
        self._slots: dict[int, list[str]] = {}
        self._refused: dict[str, Refused] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin, in the background."""
        self._since = self._clock()
        self._task = asyncio.create_task(self._run(), name="traffic")
        return self

    async def __aexit__(self, *_: object) -> None:
        """End, and note what is left where the store takes it soon."""
        if self._task is not None:
            await end([self._task])
        await self.note()

    async def note(self) -> None:
        """Write down what came since; what the store does not take is tried again with the next. Never raises."""
        self._gather()
        if not self._may_write():
            return
        try:
            for hour in sorted(self._slots.keys() | self._came.keys()):
                await in_time(_PATIENCE, self._note(hour))
                self._slots.pop(hour, None)
                self._came.pop(hour, None)
                self._refused = {}
        except STORE_ERRORS as error:
            if self._reminder.is_due():
                _log.warning("traffic_not_noted", error=described(error))
        else:
            self._reminder.over()

    async def _note(self, hour: int) -> None:
        slots = "".join(self._slots.get(hour, ["0"] * SLOTS))
        came = _together(dict.fromkeys(self._ready(), Came(0, 0)), self._came.get(hour, {}))
        calls = note(self._store.keys, hour, slots, self._process, self._spooled(), came, self._refused)
        if left_out := sum(checked(await self._store.run(calls))):
            _log.warning("companies_left_out", number=left_out, advice=f"silence is watched for {MOST} companies")

    async def _run(self) -> None:
        await asyncio.sleep(self._random.uniform(0, min(_SOON, self._every)))
        while True:
            await self.note()
            await asyncio.sleep(self._every)

    def _gather(self) -> None:
        """Take what was counted, and the time since the last look, in which this process listened."""
        came, refused = self._traffic.take()
        for hour, counts in came.items():
            self._came[hour] = _together(self._came.get(hour, {}), counts)
        for publisher, one in refused.items():
            before = self._refused.get(publisher)
            more = (before.requests, before.since) if before else (0, one.since)
            self._refused[publisher] = one._replace(requests=one.requests + more[0], since=more[1])
        now = self._clock()
        # A process that was stopped for a while, or a clock that was set, has listened in no more than this.
        start = min(max(self._since, now - 2 * self._every - _PATIENCE), now)
        for slot in range(int(start * 1000) // SLOT, int(now * 1000) // SLOT + 1):
            self._slots.setdefault(slot // SLOTS, ["0"] * SLOTS)[slot % SLOTS] = "1"
        self._since = now
        for kept in (self._came, self._slots):
            while len(kept) > _HOURS:
                del kept[min(kept)]

    def _spooled(self) -> Spooled | None:
        if self._spool is None or not self._spool.entries:
            return None
        now = int(self._clock() * 1000)
        spool = self._spool
        return Spooled(spool.entries, spool.bytes, spool.max_bytes, now - round(spool.age * 1000), now)


def _together(before: dict[str, Came], more: dict[str, Came]) -> dict[str, Came]:
    """Return the counts of both; publishers, whose names have no slash, in front."""
    found = dict(before)
    for subject, one in more.items():
        was = found.get(subject, Came(0, 0))
        found[subject] = Came(was.events + one.events, max(was.last, one.last))
    return dict(sorted(found.items(), key=lambda row: "/" in row[0]))
