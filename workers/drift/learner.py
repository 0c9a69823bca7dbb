"""The learner: one worker of all, by a lease, reads along what comes and learns the fields of each type.

It reads a sample, at a bounded pace: of a type of which more comes, only the newest. So it costs the ingress nothing
and the store little, however much comes. What it knows is in the store, so that another goes on where it ended.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from random import Random
from typing import Final, Self

import msgspec

from config.errors import described
from config.publishers import UNLISTED
from config.settings import DriftSettings
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import STORE_ERRORS
from router.store.leases import Lease, LeaseLost
from router.store.merging import newest_first
from router.store.reading import Entry, Span, order_of
from router.store.record import EVENT, ID, RAW, text_of
from router.tasks.ending import end
from router.tasks.iterating import first
from router.tasks.outage import Reminder
from router.telemetry import logs
from workers.drift.kept import Kept, Report
from workers.drift.metrics import DriftMetrics
from workers.drift.news import News
from workers.drift.notebook import read_all, write
from workers.drift.schema import Change
from workers.drift.shape import Shape, masked, shape_of
from workers.incidents import Incident, Incidents

__all__ = ["Learner"]

_SAMPLE: Final = 50
"""Entries of a stream that are read at once, the newest."""
_BLOCK: Final = 60.0
"""Seconds that a read waits for something new."""
_LEASE: Final = 3 * _BLOCK
_DAY: Final = 86_400_000
_LASTS: Final = {"new": _DAY, "changed": _DAY, "missing": 7 * _DAY}
"""Milliseconds after which a change belongs to the type."""
_DO: Final = "Ask the sender whether this is on purpose, and look whether your handlers rely on the field."

_log = logs.get("drift")


class _Whose(msgspec.Struct):
    company_id: str | None = None
    tenant_id: str | None = None


_whose = msgspec.json.Decoder(_Whose).decode


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
        self._kept: dict[str, Kept] | None = None
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
        if self._kept is not None:
            await self.lease.give_up()

    @property
    def is_learning(self) -> bool:
        """Whether this worker has the lease, as far as it knows."""
        return self._kept is not None

    async def _run(self) -> None:
        await asyncio.sleep(self._random.uniform(0, min(5.0, self._settings.every)))
        while True:
            pause = await self._turn()
            await asyncio.sleep(pause * self._random.uniform(1.0, 1.1))

    async def _turn(self) -> float:
        """Learn from what came, if this worker has the lease; return in how many seconds to go on. Never raises."""
        try:
            if not await self.lease.take():
                self._kept = None
                return _BLOCK
            await self.look()
            self._reminder.over()
        except LeaseLost:
            self._kept = None
            return _BLOCK
        except STORE_ERRORS as error:
            self._kept = None
            if self._reminder.is_due():
                _log.warning("learning_put_off", error=described(error))
            return _BLOCK / 6
        except Exception:  # noqa: BLE001 - events are handled, whether anybody learns or not
            self._kept = None
            _log.exception("learning_broken")
            return _BLOCK
        return self._settings.every

    async def look(self) -> None:
        """Wait until something has come, and learn from that; raises LeaseLost and StoreUnavailable."""
        if self._kept is None:
            self._kept = await read_all(self._store)
        kept = self._kept
        known = {stream: kept.get(stream) or Kept() for stream in self._streams}
        await self._write(await self._end_old(kept))
        news = await self._news.wait({stream: one.last for stream, one in known.items()})
        await self.lease.renew()  # the wait may have been longer than it lasts
        for stream in news:
            kept[stream] = known[stream]
            await self._read(stream, known[stream])
        await self._write({*news})

    async def _write(self, streams: Collection[str]) -> None:
        if streams and self._kept is not None:
            await write(self._store, self.lease, {stream: self._kept[stream] for stream in streams})

    async def _read(self, stream: str, kept: Kept) -> None:
        """Learn from the newest entries of a stream behind those that were read before."""
        missing = self._settings.learn - kept.schema.events
        key, number = self._store.keys.events(stream), max(_SAMPLE, min(missing, 10 * _SAMPLE))
        found = [
            _Seen.of(entry) async for _, entry in first(newest_first(self._store, [key], _behind(kept.last)), number)
        ]
        if not found:
            return
        kept.last, kept.at = found[0].entry_id, int(self._clock() * 1000)
        for seen in reversed(found):
            if seen.shape is not None:
                at = order_of(seen.entry_id)[0]
                changes = kept.schema.learn(seen.shape, seen.company, at, self._settings)
                await self._report(stream, kept, changes, seen, at)

    async def _report(self, stream: str, kept: Kept, changes: Iterable[Change], seen: "_Seen", at: int) -> None:
        for change in changes:
            await self._end(stream, [one for one in kept.lasting if one.path == change.path])
            if change.kind == "back":
                continue
            report = Report.of(change, at, seen.id, masked(seen.raw))
            self._metrics.changes.labels(change.kind).inc()
            _log.warning("schema_changed", stream=stream, what=report.what, event_id=report.event_id)
            gone = kept.add(report)
            await self._incidents.open(self._incident(stream, report))
            await self._end(stream, gone)

    async def _end_old(self, kept: dict[str, Kept]) -> set[str]:
        """End what has lasted long enough to belong to the type; return the streams of that."""
        now, changed = int(self._clock() * 1000), set[str]()
        for stream, one in kept.items():
            old = [report for report in one.lasting if now - report.at > _LASTS.get(report.kind, _DAY)]
            for report in old:
                if report.kind == "missing":
                    one.schema.forget(report.path)
            if old:
                await self._end(stream, old)
                changed.add(stream)
        return changed

    async def _end(self, stream: str, reports: Iterable[Report]) -> None:
        """End reports, and their incidents where the same lasts for no other type of the publisher."""
        for report in reports:
            report.over = int(self._clock() * 1000)
            if not self._lasting(stream, report):
                await self._incidents.end("drift", _subject(stream, report))

    def _lasting(self, stream: str, report: Report) -> list[str]:
        """Return the streams of the publisher of which the same is reported, and lasts."""
        subject, kept = _subject(stream, report), self._kept or {}
        return [name for name, one in kept.items() if any(_subject(name, each) == subject for each in one.lasting)]

    def _incident(self, stream: str, report: Report) -> Incident:
        """Return the incident of a change: one for all types of the publisher, as where a field is added to each."""
        others = len(set(self._lasting(stream, report)) - {stream})
        more = f"; the same goes for {others} more of its types" if others else ""
        publisher = stream.partition("/")[0]
        command = f"event-router schema list {publisher}/*" if others else f"event-router schema show {stream}"
        what = f"{stream} {report.what}{more}."
        return Incident("drift", _subject(stream, report), report.at, what, _DO, command)


class _Seen(msgspec.Struct):
    """What is taken from an entry; `shape` is None, and `raw` empty, where nothing is learnt from it."""

    entry_id: str
    id: str
    company: str
    shape: Shape | None
    raw: bytes

    @classmethod
    def of(cls, entry: Entry) -> "_Seen":
        entry_id, fields = entry
        raw = fields.get(RAW, b"")
        shape = shape_of(raw)
        whose = _company(fields.get(EVENT, b""))
        return cls(entry_id.decode(), text_of(fields, ID), whose, shape, b"" if shape is None else raw)


def _company(event: bytes) -> str:
    """Return whose event it is; empty where that is not known."""
    try:
        found = _whose(event)
    except (msgspec.MsgspecError, RecursionError):
        return ""
    return f"{found.tenant_id or ''}/{found.company_id or ''}"


def _behind(last: str) -> Span:
    return Span("-" if last == "0-0" else f"({last}", "+")


def _subject(stream: str, report: Report) -> str:
    """Return what an incident is about: a field of a publisher, since senders change it in many types at once."""
    return f"{stream.partition('/')[0]} {report.kind} {report.path}"
