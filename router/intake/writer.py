"""Appending many entries in few round trips: one script call for each stream, of at most a hundred of its entries.

The next hundred of a stream is sent only after the one before was taken. Both in one round trip would be faster, and
out of order whenever the first is refused and the second not: memory that comes and goes, scripts that were forgotten.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, zip_longest
from typing import Any, Self

from config.settings import Settings
from router.intake.confirmation import Confirmation
from router.intake.entry import Entry
from router.store import scripts
from router.store.client import Store
from router.store.connection_kinds import was_lost
from router.store.errors import StoreRefused
from router.store.windows import Windows

Outcome = bool | BaseException
"""Of one entry: True appended, False a duplicate; or why it is not known to be stored as it should be."""


class Batch:
    """Appends entries, each exactly once within its window, and confirms them where that is asked for.

    `window`: milliseconds for all, or those of each publisher.
    """

    def __init__(self, store: Store, *, window: int | Windows, confirmation: Confirmation | None = None) -> None:
        self._store = store
        self.windows = Windows(window) if isinstance(window, int) else window
        self._confirmation = confirmation
        self.sent: Callable[[int, float], None] = lambda _items, _seconds: None
        """Called after every batch: how many entries, and the seconds until it was known what became of them."""

    @classmethod
    def for_settings(cls, store: Store, settings: Settings) -> Self:
        """Return what appends as ingress does: its deduplication windows, as durable as is configured."""
        limits, windows = settings.ingress, Windows.for_settings(settings)
        confirmation = Confirmation.for_level(store, limits.durability, timeout=limits.store_timeout)
        return cls(store, window=windows, confirmation=confirmation)

    async def append(self, entries: Sequence[Entry]) -> list[Outcome]:
        """Append entries, those of one stream in their order; return what became of each; never raises."""
        outcomes: list[Outcome] = [False] * len(entries)
        started = time.perf_counter()
        try:
            refused: dict[str, BaseException] = {}
            for chunks in _trips(entries):
                await self._send(entries, chunks, outcomes, refused)
            if self._confirmation is not None:
                await self._confirm(self._confirmation, entries, outcomes)
        except Exception as error:  # noqa: BLE001 - those who wait get the error, whatever it is
            return [error] * len(entries)
        finally:
            self.sent(len(entries), time.perf_counter() - started)
        return outcomes

    def is_hopeless(self, errors: Iterable[BaseException]) -> bool:
        """Return whether errors say that the store as a whole does not answer: other streams would fare no better."""
        return not self._store.cluster and not any(isinstance(error, StoreRefused) for error in errors)

    async def _send(
        self,
        entries: Sequence[Entry],
        chunks: Sequence[Sequence[int]],
        outcomes: list[Outcome],
        refused: dict[str, BaseException],
    ) -> None:
        """Send one call for each stream that has refused nothing yet, and note what became of the entries."""
        open_chunks = [chunk for chunk in chunks if entries[chunk[0]].stream not in refused]
        replies = await self._replies([self._call(entries, chunk) for chunk in open_chunks]) if open_chunks else []
        for chunk, reply in zip(open_chunks, replies, strict=True):
            if isinstance(reply, BaseException):
                refused[entries[chunk[0]].stream] = reply
                continue
            for index, entry_id in zip(chunk, reply, strict=True):
                outcomes[index] = entry_id != b""
        for chunk in chunks:
            if (error := refused.get(entries[chunk[0]].stream)) is not None:
                for index in chunk:
                    outcomes[index] = error

    async def _replies(self, calls: Sequence[scripts.Call]) -> list[Any]:
        """Run calls, and once more those whose connection broke: what was appended is found by its markers."""
        replies = await self._store.run(calls)
        lost = [index for index, reply in enumerate(replies) if was_lost(reply)]
        again = await self._store.run([calls[index] for index in lost]) if lost else []
        for index, reply in zip(lost, again, strict=True):
            replies[index] = reply
        return replies

    def _call(self, entries: Sequence[Entry], chunk: Sequence[int]) -> scripts.Call:
        items = [entries[index] for index in chunk]
        stream, rows = items[0].stream, [item.fields for item in items]
        fields, widths = [*chain.from_iterable(rows)], [*map(len, rows)]
        differing = widths if min(widths) < max(widths) else ()
        return scripts.append(stream, [item.marker for item in items], fields, self.windows.of(stream), differing)

    async def _confirm(self, confirmation: Confirmation, entries: Sequence[Entry], outcomes: list[Outcome]) -> None:
        """Put, in place of the outcomes that stand for nothing durable yet, the reason."""
        stored = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, bool)]
        markers = [(entries[index].marker, self.windows.of(entries[index].stream)) for index in stored]
        failures = await confirmation.failures(markers) if stored else []
        for index, failure in zip(stored, failures, strict=True):
            if failure is not None:
                outcomes[index] = failure


def _trips(entries: Sequence[Entry]) -> list[list[list[int]]]:
    """Return the places of the entries by round trip and call: of each stream its first hundred, then its second."""
    by_stream: dict[str, list[list[int]]] = {}
    for index, entry in enumerate(entries):
        chunks = by_stream.setdefault(entry.stream, [])
        if chunks and len(chunks[-1]) < scripts.BATCH:
            chunks[-1].append(index)
        else:
            chunks.append([index])
    return [[chunk for chunk in trip if chunk] for trip in zip_longest(*by_stream.values())]
