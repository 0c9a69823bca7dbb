"""Appending many entries in few round trips: one script call for each stream, of at most a hundred of its entries.

The next hundred of a stream is sent only after the one before was taken. Both in one round trip would be faster, and
out of order whenever the first is refused and the second not: memory that comes and goes, scripts that were forgotten.
"""

from collections.abc import Iterable, Sequence

from redis.exceptions import ResponseError

from router import scripts
from router.durability import Confirmation
from router.entry import Entry
from router.store import Store

__all__ = ["Batch", "Outcome"]

Outcome = bool | BaseException
"""Of one entry: True appended, False a duplicate; or why it is not known to be stored as it should be."""


class Batch:
    """Appends entries, each exactly once within `window` (milliseconds), and confirms them where that is asked for."""

    def __init__(self, store: Store, *, window: int, confirmation: Confirmation | None = None) -> None:
        self._store = store
        self._window = window
        self._confirmation = confirmation

    async def append(self, entries: Sequence[Entry]) -> list[Outcome]:
        """Append entries, those of one stream in their order; return what became of each; never raises."""
        outcomes: list[Outcome] = [False] * len(entries)
        try:
            refused: dict[str, BaseException] = {}
            for chunks in _trips(entries):
                await self._send(entries, chunks, outcomes, refused)
            if self._confirmation is not None:
                await self._confirm(self._confirmation, entries, outcomes)
        except Exception as error:  # noqa: BLE001 - those who wait are told, whatever it is
            return [error] * len(entries)
        return outcomes

    def is_hopeless(self, errors: Iterable[BaseException]) -> bool:
        """Return whether errors say that the store as a whole does not answer: other streams would fare no better."""
        return not self._store.cluster and not any(isinstance(error, ResponseError) for error in errors)

    async def _send(
        self,
        entries: Sequence[Entry],
        chunks: Sequence[Sequence[int]],
        outcomes: list[Outcome],
        refused: dict[str, BaseException],
    ) -> None:
        """Send one call for each stream that has refused nothing yet, and note what became of the entries."""
        open_chunks = [chunk for chunk in chunks if entries[chunk[0]].stream not in refused]
        replies = await self._store.run([self._call(entries, chunk) for chunk in open_chunks]) if open_chunks else []
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

    def _call(self, entries: Sequence[Entry], chunk: Sequence[int]) -> scripts.Call:
        fields = [field for index in chunk for field in entries[index].fields]
        markers = [entries[index].marker for index in chunk]
        return scripts.append(entries[chunk[0]].stream, markers, fields, self._window)

    async def _confirm(self, confirmation: Confirmation, entries: Sequence[Entry], outcomes: list[Outcome]) -> None:
        """Put, in place of the outcomes that stand for nothing durable yet, the reason."""
        stored = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, bool)]
        failures = await confirmation.failures([entries[index].marker for index in stored]) if stored else []
        for index, failure in zip(stored, failures, strict=True):
            if failure is not None:
                outcomes[index] = failure


def _trips(entries: Sequence[Entry]) -> list[list[list[int]]]:
    """Return the places of the entries by round trip and call: of each stream its first hundred, then its second."""
    by_stream: dict[str, list[int]] = {}
    for index, entry in enumerate(entries):
        by_stream.setdefault(entry.stream, []).append(index)
    longest = max(map(len, by_stream.values()), default=0)
    return [
        [places[start : start + scripts.BATCH] for places in by_stream.values() if len(places) > start]
        for start in range(0, longest, scripts.BATCH)
    ]
