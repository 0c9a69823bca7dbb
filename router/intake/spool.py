"""The spool: while the store is away, requests are answered once their entries are on this machine's disk.

Order is kept by a simple rule: as long as entries of a stream wait here, further ones of that stream join them, until
the drain has caught up. They are answered at once, since only the disk is in their way. When the store as a whole does
not answer, every request comes here, so that none has to find that out for itself.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from router.intake.entry import Entry, Waiting
from router.intake.spool_file import Row, SpoolFile, left_over, size_of
from router.intake.store_state import StoreState
from router.store.errors import StoreUnavailable
from router.tasks.ending import set_within
from router.telemetry import logs

_MOST = 2000
_log = logs.get("spool")
_T = TypeVar("_T")


class SpoolFull(StoreUnavailable):
    """Neither the store nor the spool takes the entries."""


class Spool:
    """One process's spool of at most `max_bytes`; what it does with its file, it does in a thread.

    `bytes` is how much room the entries that wait take, about.
    """

    def __init__(self, file: SpoolFile, *, max_bytes: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self.max_bytes = max_bytes
        self._monotonic = monotonic
        self._streams, self.bytes = file.sizes()
        self._peak = self.bytes
        self._since: float | None = monotonic() if self._streams else None
        self._appended: list[int] = []
        self._after = 0
        self._waiting: list[Waiting] = []
        self._writing: Sequence[Waiting] = ()
        self._read_from = file
        self._shut_until = 0.0
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")
        self._work, self._empty = asyncio.Event(), asyncio.Event()
        self.alarm = asyncio.Event()
        self.store = StoreState()
        self.refusal, self.unwritable = "", False
        (self._work if self._streams else self._empty).set()

    @classmethod
    def open(cls, directory: Path, *, max_bytes: int) -> "Spool":
        """Open this process's spool in a directory, with what others left over there; raises ConfigError."""
        file = SpoolFile.claim(directory)
        try:
            _absorb_all(file)
            spool = cls(file, max_bytes=max_bytes)
        except BaseException:
            file.close()
            raise
        if spool.entries:
            _log.warning("spool_left_over", entries=spool.entries, bytes=spool.bytes, file=str(file.path))
        return spool

    @property
    def entries(self) -> int:
        """How many entries wait."""
        return self._streams.total()

    @property
    def age(self) -> float:
        """For how many seconds there has been something waiting; 0 when nothing is."""
        return 0.0 if self._since is None else self._monotonic() - self._since

    @property
    def is_full(self) -> bool:
        """Whether it takes nothing at the moment; `refusal` says why."""
        return bool(self.refusal)

    @property
    def is_idle(self) -> bool:
        """Whether nothing has to come here."""
        return not self.store.is_away and not self._streams

    def wants(self, entries: Sequence[Entry]) -> bool:
        """Return whether entries belong here: others of their stream wait here, or the store is away."""
        return self.store.is_away or (bool(self._streams) and any(entry.stream in self._streams for entry in entries))

    def put(self, waiting: Waiting) -> None:
        """Take over a request: it is answered once its entries are on disk, or fails with SpoolFull."""
        size = sum(map(size_of, waiting.entries))
        if self._monotonic() < self._shut_until:
            self._refuse(self.refusal or "its files were not where they were", [waiting])
            return
        if self.bytes + size > self.max_bytes:
            self._refuse(f"the spool is full: {self.bytes} of {self.max_bytes} bytes", [waiting])
            return
        # Counted at once: the next request must find that its stream waits here.
        self._count(waiting.entries)
        self._waiting.append(waiting)
        if self._task is None:
            self._task = asyncio.create_task(self._write_all())

    async def adopt(self) -> None:
        """Take over what processes that are gone have left beside our file; raises sqlite3.Error."""
        entries = await self._in_thread(lambda: _absorb_all(self._file))
        if entries:
            _log.warning("spool_left_over", entries=len(entries), file=str(self._file.path))
            self._count(entries)
            self._work.set()

    async def work(self, seconds: float) -> None:
        """Wait until there is something to drain, or a store to look after, but no longer than so many seconds."""
        await set_within(seconds, self._work, self.store.failed)

    async def oldest(self, limit: int, *, without: Collection[str] = ()) -> list[Row]:
        """Return entries in the order in which they came, leaving out some streams; raises sqlite3.Error."""
        self._read_from = self._file
        rows = await self._in_thread(lambda: self._read_from.oldest(limit, after=self._after, without=without))
        if broken := self._file.take_broken():
            self._count(broken, -1)
        return rows

    async def remove(self, rows: Sequence[Row]) -> None:
        """Take out what is in the store now; raises sqlite3.Error, but the next call tries that again.

        For the order of streams it counts as gone in any case: a disk that is full must not keep us from the store.
        """
        if self._read_from is not self._file:  # its numbers mean others in the new one, where these are found again
            return
        self._count([row.entry for row in rows], -1)
        self._appended += [row.id for row in rows]
        self._after = max([self._after, *self._appended])
        if self._appended:
            await self._in_thread(lambda: self._file.remove(self._appended))
            self._appended, self._after = [], 0

    def has_room(self) -> None:
        """Take requests again: the store took something."""
        if self._monotonic() >= self._shut_until:
            self._open_again()

    async def rest(self) -> None:
        """End the work for now, if nothing waits; an empty file shrinks, so that nothing of what was in it is left."""
        if self.entries or self.store.is_away or self._appended:
            return
        self._work.clear()
        if self._peak:
            self._peak = 0
            await self._in_thread(self._file.shrink)

    async def written(self) -> None:
        """Wait until everything that was put is on disk or refused."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def needed(self) -> None:
        """Wait until something waits in the file, or it refuses something."""
        if not (self._streams or self.refusal):
            await self.alarm.wait()

    async def fault(self) -> str:
        """Return what is wrong with the place of the file; an empty text where others would find it."""
        self.alarm.clear()
        return await self._in_thread(lambda: self._file.place.fault())  # noqa: PLW0108 - the file of that moment

    def shut(self, why: str, seconds: float) -> None:
        """Refuse everything for so long, in seconds."""
        self.refusal, self.unwritable = why, True
        self._shut_until = self._monotonic() + seconds

    async def try_out(self) -> None:
        """Take requests again if the file takes something."""
        if self.unwritable and self._monotonic() >= self._shut_until:
            with contextlib.suppress(sqlite3.Error):
                await self._in_thread(lambda: self._file.try_out())  # noqa: PLW0108 - likewise
                self._open_again()

    async def replace(self, rescue: Callable[[SpoolFile], SpoolFile]) -> Path:
        """Use the file that `rescue` makes of ours from now on, and return its path; raises what that raises."""
        streams, size = await self._in_thread(lambda: self._replace(rescue))
        later = [entry for waiting in (*self._writing, *self._waiting) for entry in waiting.entries]
        self._streams = streams + Counter(entry.stream for entry in later)
        self.bytes = size + sum(map(size_of, later))
        self._appended, self._after = [], 0
        self._count(())
        self._work.set()
        return self._file.path

    def _replace(self, rescue: Callable[[SpoolFile], SpoolFile]) -> tuple[Counter[str], int]:
        self._file = rescue(self._file)
        return self._file.sizes()

    def _open_again(self) -> None:
        self.refusal, self.unwritable = "", False

    async def settled(self) -> None:
        """Wait until nothing waits, or the store does not take it."""
        await set_within(None, self._empty, self.store.failed)

    async def close(self) -> None:
        """Finish the writing and let go of the file; what waits in it stays there."""
        try:
            await self.written()
            await self._in_thread(self._file.close)
        finally:
            self._thread.shutdown()

    async def _write_all(self) -> None:
        """Write what waits, all of it with one commit, until nothing does."""
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
                self._writing = batch
                await self._write(batch)
                self._writing = ()
        finally:
            self._task, self._writing = None, ()

    async def _write(self, batch: Sequence[Waiting]) -> None:
        entries = [entry for waiting in batch for entry in waiting.entries]
        try:
            await self._in_thread(lambda: self._file.add(entries))
        except Exception as error:  # noqa: BLE001 - those who wait get the error, whatever it is
            self._count(entries, -1)
            self._refuse(f"the spool cannot be written: {error}", batch)
            self.unwritable = True
        else:
            self._open_again()
            for waiting in batch:
                waiting.tell([True] * len(waiting.entries))
        self._work.set()

    def _refuse(self, why: str, refused: Sequence[Waiting]) -> None:
        """Tell requests that nobody takes them; the log says it once, until there is room again."""
        if not self.refusal:
            _log.error("spool_refuses", reason=why, store=self.store.reason)
        self.refusal = self.refusal or why
        self.alarm.set()
        self._work.set()
        for waiting in refused:
            waiting.tell(SpoolFull(f"the store does not take it, and {why}"))

    def _count(self, entries: Sequence[Entry], sign: int = 1) -> None:
        for entry in entries:
            self._streams[entry.stream] += sign
            if self._streams[entry.stream] <= 0:
                del self._streams[entry.stream]
        self.bytes = max(0, self.bytes + sign * sum(map(size_of, entries)))
        self._peak = max(self._peak, self.bytes)
        if not self._streams:
            self._since = None
            self._empty.set()
        elif self._since is None:
            self.alarm.set()
            self._since = self._monotonic()
            self._empty.clear()

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _absorb_all(file: SpoolFile) -> list[Entry]:
    """Move what others left over to the end of a file; return the entries, without their fields."""
    return [entry for other in left_over(file) for entry in _absorb(file, other)]


def _absorb(file: SpoolFile, other: SpoolFile) -> list[Entry]:
    """Move everything from one file to the end of another; what a crash in between leaves in both is deduplicated."""
    moved: list[Entry] = []
    try:
        while rows := other.oldest(_MOST):
            file.add([row.entry for row in rows])
            moved += [replace(row.entry, fields=()) for row in rows]
            other.remove([row.id for row in rows])
        other.shrink()
    except sqlite3.Error as error:
        _log.warning("left_over_spool_unreadable", file=str(other.path), error=str(error))
    finally:
        other.close()
    return moved
