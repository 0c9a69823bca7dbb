"""Group commit: what all waiting requests want appended goes to the store in one round trip.

While one round trip is under way the next batch gathers, so batches grow with the load by themselves: a lone request
waits for nobody, and under load many share one script call for each stream.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from router import scripts
from router.store import STORE_ERRORS, Store, StoreUnavailable

__all__ = ["Appender", "Entry"]

_MAX_ITEMS = 2000
_MAX_BYTES = 8 * 1024 * 1024


class Entry(NamedTuple):
    """One item to append: where to, under which deduplication marker, and the fields of its entry."""

    stream: str
    marker: str
    fields: tuple[scripts.Field, ...]
    size: int


class _Waiting(NamedTuple):
    entries: Sequence[Entry]
    done: asyncio.Future[list[bool]]


class Appender:
    """Appends entries, each exactly once within the deduplication window (seconds)."""

    def __init__(self, store: Store, *, window: float) -> None:
        self._store = store
        self._window = int(window * 1000)
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None

    def append(self, entries: Sequence[Entry]) -> asyncio.Future[list[bool]]:
        """Return a future of one flag an entry: True appended, False a duplicate.

        It fails with StoreUnavailable unless all of them are stored. Then some may be: appending them again is safe.
        """
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(entries, done))
        if self._task is None:
            self._task = asyncio.create_task(self._commit_all())
        return done

    async def drain(self) -> None:
        """Wait until nothing is waiting any more."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _commit_all(self) -> None:
        try:
            while self._waiting:
                await self._commit(self._take())
        finally:
            self._task = None

    def _take(self) -> list[_Waiting]:
        """Take as many waiting requests as one round trip should carry, at least one."""
        items = size = count = 0
        for waiting in self._waiting:
            items += len(waiting.entries)
            size += sum(entry.size for entry in waiting.entries)
            if count and (items > _MAX_ITEMS or size > _MAX_BYTES):
                break
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    async def _commit(self, batch: list[_Waiting]) -> None:
        by_stream: dict[str, list[Entry]] = {}
        for waiting in batch:
            for entry in waiting.entries:
                by_stream.setdefault(entry.stream, []).append(entry)
        chunks = [
            entries[start : start + scripts.BATCH]
            for entries in by_stream.values()
            for start in range(0, len(entries), scripts.BATCH)
        ]
        try:
            replies = await self._store.run([self._call(chunk) for chunk in chunks])
        except Exception as error:  # noqa: BLE001 - those who wait are told, whatever it is
            replies = [error] * len(chunks)
        _answer(batch, _by_stream(chunks, replies))
        if all(isinstance(reply, STORE_ERRORS) for reply in replies):
            self._fail_waiting(replies[0])

    def _fail_waiting(self, error: BaseException) -> None:
        """Fail those who came while a round trip failed: they would wait a second time-out for the same."""
        waiting, self._waiting = self._waiting, []
        for request in waiting:
            if not request.done.done():
                request.done.set_exception(_unavailable(error))

    def _call(self, chunk: list[Entry]) -> scripts.Call:
        fields = [field for entry in chunk for field in entry.fields]
        return scripts.append(chunk[0].stream, [entry.marker for entry in chunk], fields, self._window)


def _by_stream(chunks: list[list[Entry]], replies: list[Any]) -> dict[str, list[bool | BaseException]]:
    """Return what became of the entries of each stream, in the order in which they were handed in."""
    outcomes: dict[str, list[bool | BaseException]] = {}
    for chunk, reply in zip(chunks, replies, strict=True):
        row = [reply] * len(chunk) if isinstance(reply, BaseException) else [entry_id != b"" for entry_id in reply]
        outcomes.setdefault(chunk[0].stream, []).extend(row)
    return outcomes


def _answer(batch: list[_Waiting], outcomes: dict[str, list[bool | BaseException]]) -> None:
    rows = {stream: iter(row) for stream, row in outcomes.items()}
    for waiting in batch:
        results = [next(rows[entry.stream]) for entry in waiting.entries]
        failure = next((result for result in results if isinstance(result, BaseException)), None)
        if waiting.done.done():
            continue
        if failure is None:
            waiting.done.set_result([bool(result) for result in results])
        else:
            waiting.done.set_exception(_unavailable(failure))


def _unavailable(error: BaseException) -> StoreUnavailable:
    unavailable = StoreUnavailable(f"the store did not append: {type(error).__name__}: {error}")
    unavailable.__cause__ = error
    return unavailable
