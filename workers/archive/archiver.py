"""The archiver: writes to the archive what every subscription has finished, before retention removes it.

For each object, in this order: its first and last entry are settled in the store; the object is written, under a name
that follows from them; the position of the stream moves on to its last entry. Retention removes nothing behind the
position. A process that is killed in between leaves an object to be written once more, the same under the same name.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import structlog

from config.errors import described
from router.store.archiving import Archiving, Due
from router.store.client import Store
from router.store.errors import StoreRefused
from router.store.leases import Lease, LeaseLost
from router.store.reading import Entry, Span, checked, forward
from router.tasks.ending import end
from router.tasks.outage import Reminder
from router.tasks.pacing import batches
from workers.archive.archive import Archive
from workers.archive.errors import ArchiveUnreachable, Swept
from workers.archive.line import Archived
from workers.archive.metrics import ArchiveMetrics
from workers.archive.name import ObjectName
from workers.incidents import ARCHIVE, Incident, Incidents
from workers.state.archive import note_round

__all__ = ["Archiver"]

_PAGE: Final = 500
_HOUR: Final = 3_600_000
_LATE: Final = _HOUR  # milliseconds
_SAY_AGAIN: Final = 3600.0  # seconds between two lines in the log of what lasts

log = structlog.get_logger("archive")


class _Object(NamedTuple):
    name: ObjectName
    events: int
    content: bytes


class Archiver:
    """Writes what is due of all streams; `window` is how long events stay in them, milliseconds."""

    def __init__(
        self, archive: Archive, store: Store, window: int, metrics: ArchiveMetrics, stopping: asyncio.Event
    ) -> None:
        self._archive = archive
        self._store = store
        self._scripts = Archiving(store.keys)
        self._window = window
        self._metrics = metrics
        self._stopping = stopping
        self._reminder = Reminder(time.monotonic, _SAY_AGAIN)

    async def round(self, streams: Sequence[str]) -> bool:
        """Archive what is due; return whether nothing failed.

        An archive that is away ends the round: what is due waits, and so does its removal. While another process has
        the lease there is nothing to do. Raises StoreUnavailable.
        """
        lease = Lease(self._store, self._store.keys.archiving(), self._archive.lease_seconds)
        async with lease.held() as is_ours:
            return not is_ours or await self._archive_all(streams, lease)

    async def _archive_all(self, streams: Sequence[str], lease: Lease) -> bool:
        due, refused = await self._due(streams)
        error = f"the store refused {len(refused)} of the streams" if refused else ""
        try:
            if due:
                await self._archive.place.sweep()
            while due and not self._stopping.is_set():
                for stream, what in due.items():
                    await self._write(stream, what, lease)
                due, _ = await self._due(list(due))
        except (ArchiveUnreachable, StoreRefused) as failure:
            self._metrics.failures.inc()
            error = described(failure)
            if self._reminder.is_due():
                log.warning("archive_failed", error=error, streams=len(due))
        except (LeaseLost, Swept):  # what is due is not for this process to say any more
            log.warning("archive_lease_lost", advice="another worker goes on; this one was held up")
            return True
        if not error and self._reminder.over():
            log.info("archive_resumed")
        overdue = max((what.overdue for what in due.values()), default=0)
        with suppress(StoreRefused):  # one that is out of memory takes the positions, and not this
            await note_round(self._store, overdue, error)
            await self._say(overdue, error)
        return not error

    async def _say(self, overdue: int, error: str) -> None:
        """Open an incident where events have been due for long, or end it."""
        incidents, place = Incidents(self._store), self._archive.settings.to
        for one in await incidents.listed():  # of a place, too, that the settings named before
            if one.kind == ARCHIVE and (overdue <= _LATE or one.subject != place):
                await incidents.end(ARCHIVE, one.subject)
        if overdue <= _LATE:
            return
        since = int(time.time() * 1000) - overdue
        why = error or "it is slow"
        what = f"Events have been due for the archive for {overdue // _HOUR} h, and stay in Redis: {why}."
        do = "Mend the folder or the bucket, and watch the memory of Redis."
        await incidents.open(Incident(ARCHIVE, place, since, what, do, "event-router doctor"))

    async def _due(self, streams: Sequence[str]) -> tuple[dict[str, Due], list[str]]:
        """Return what is due of each stream that has something; and the streams that the store refuses us."""
        replies = await self._store.run([self._scripts.next(stream, self._window) for stream in streams])
        refused = [s for s, reply in zip(streams, replies, strict=True) if isinstance(reply, StoreRefused)]
        if refused:
            log.warning("archive_refused", streams=refused[:5], number=len(refused))
        answered = [pair for pair in zip(streams, replies, strict=True) if not isinstance(pair[1], StoreRefused)]
        found = {stream: Due.parse(checked([reply])[0]) for stream, reply in answered}
        return {stream: due for stream, due in found.items() if due.first}, refused

    async def _write(self, stream: str, due: Due, lease: Lease) -> None:
        """Write the next object of a stream, and let the position move on; nothing where somebody else did that."""
        await lease.renew()
        made = await self._make(stream, due)
        if made is None or self._stopping.is_set():
            return
        first, last = made.name.first, made.name.last
        if not await self._store.call(self._scripts.plan(stream, due.position, first, last)):
            return
        if made.events and not await self._put(made, lease):
            return
        if await self._store.call(self._scripts.confirm(stream, due.position, last, made.events)):
            self._metrics.events.labels(stream).inc(made.events)
            self._metrics.bytes.inc(len(made.content))
            log.info("events_archived", stream=stream, events=made.events, object=str(made.name))

    async def _put(self, made: _Object, lease: Lease) -> bool:
        """Write an object; return whether it is there. A process that is stopping does not wait for a slow bucket.

        Raises LeaseLost and Swept: what was read may have been erased by the process that had the archive meanwhile.
        """
        putting = asyncio.create_task(self._archive.place.put(str(made.name), made.content, lease.keep))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({putting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return putting.done() and putting.result() is None
        finally:
            await end([stopping, putting])

    async def _make(self, stream: str, due: Due) -> _Object | None:
        """Return the object of what is due, or of as much of it as makes one; None where nothing is there any more."""
        writer, events, size, last = self._archive.writer(self._archive.suffix), 0, 0, ""
        span = Span(due.first, due.last)
        async for page in batches(
            forward(self._store, self._store.keys.events(stream), span), most=_PAGE, size_of=_size
        ):
            entries = [Archived(stream, entry_id.decode(), fields) for entry_id, fields in page]
            size += await asyncio.to_thread(writer.add, entries)
            events, last = events + len(entries), entries[-1].entry_id
            if self._stopping.is_set() or (not due.planned and size >= self._archive.settings.object_bytes):
                break
        if not due.planned and not events:
            return None
        name = ObjectName(stream, due.first, due.last if due.planned else last, writer.suffix)
        return _Object(name, events, await asyncio.to_thread(writer.finish))


def _size(entry: Entry) -> int:
    return sum(map(len, entry[1].values()))
