"""Putting exported dead letters back, each once however often it is tried.

What makes a dead letter the same is its stream, its subscription, the entry in which it died and its event. The store
remembers for thirty days which of them it was given.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from router.events.catalogue import Catalogue
from router.store import scripts
from router.store.client import Store
from router.store.errors import StoreRefused
from router.store.reading import checked, refusal_of
from router.store.record import ORIGIN
from router.store.scripts import BATCH, Call, Field
from router.tasks.pacing import batches
from workers.operations.audit import CHANGED, FAILED
from workers.operations.change import Change
from workers.operations.dead_letters.lines import BadLine, ExportedLetter, read_line
from workers.state.groups import existing_groups

NEW, THERE, BEFORE, REFUSED = "new", "there", "before", "refused"
"""What becomes of a dead letter: put back; among the dead letters already; put back before and gone since; refused."""

REMEMBERED: Final = 30 * 86_400_000
"""For how many milliseconds a dead letter that was put back is not put back again."""

_MAX_BYTES = 1024 * 1024  # of one script call
_TOLD = 100  # characters of a name that is wrong

Place = tuple[str, str]

Lines = Callable[[], Iterable[tuple[int, bytes | None]]]
"""What reads the lines of an export from the first one on, each with its number; None for one that is too long."""

_MOST_BAD = 100  # bad lines that are kept


class Import(Change[ExportedLetter]):
    """Puts back the dead letters of an export; `bad` counts the lines that are none, which are left out.

    again: also those that were put back before, and have been replayed or purged since. bad_lines: the first hundred
    bad ones, with their numbers and what is wrong.
    """

    batch = 500

    def __init__(
        self, store: Store, catalogue: Catalogue, lines: Lines, *, subject: str = "", again: bool = False
    ) -> None:
        super().__init__(store, "dlq import", subject=subject, selector={"again": True} if again else {})
        self._known = frozenset(catalogue.streams())
        self._lines = lines
        self._again = again
        self._groups: dict[str, frozenset[str]] = {}
        self.bad = 0
        self.bad_lines: list[tuple[int, str]] = []

    async def freeze(self) -> datetime | None:
        """Look through all lines for those that are bad."""
        self.bad, self.bad_lines = 0, []
        async for number, letter in self._read():
            if isinstance(letter, str):
                self.bad += 1
                if self.bad <= _MOST_BAD:
                    self.bad_lines.append((number, letter))
        self.result.counts[FAILED] = self.bad
        return None

    async def found(self) -> AsyncIterator[ExportedLetter]:
        """Yield the dead letters, in the order of their lines."""
        async for _, letter in self._read():
            if not isinstance(letter, str):
                yield letter

    def size_of(self, item: ExportedLetter) -> int:
        """Return about how many bytes it takes to send."""
        return item.size

    async def apply(self, batch: Sequence[ExportedLetter]) -> Counter[str]:
        """Put these back."""
        done = await self.restore(batch)
        return done + Counter({CHANGED: done[NEW], FAILED: done[REFUSED]})

    async def outlook(self) -> Counter[str]:
        """Return how many dead letters are NEW, THERE and so on, and put back none; raises StoreUnavailable."""
        counts: Counter[str] = Counter()
        async for batch in batches(self.items(), most=self.batch, size_of=self.size_of):
            counts.update(await self.restore(batch, dry=True))
        return counts

    async def obstacle(self, letter: ExportedLetter) -> str | None:
        """Return why a dead letter could not be found where it belongs; None where nothing is in the way."""
        if letter.stream not in self._known:
            return f"no stream {letter.stream[:_TOLD]!r} is configured"
        if letter.stream not in self._groups:
            found = (await existing_groups(self.store, [letter.stream]))[letter.stream]
            self._groups[letter.stream] = frozenset(group.name for group in found)
        if letter.subscription in self._groups[letter.stream]:
            return None
        return f"no subscription {letter.subscription[:_TOLD]!r} exists on {letter.stream}: start its worker once"

    async def restore(self, letters: Sequence[ExportedLetter], *, dry: bool = False) -> Counter[str]:
        """Put dead letters back, in their order; with `dry`, only look. Return how many were NEW, THERE and so on."""
        batches = list(_batches(letters))
        replies = await self.store.run([self._call(batch, dry=dry) for batch in batches])
        checked([reply for reply in replies if not isinstance(reply, StoreRefused)])
        self.result.refusal = refusal_of(replies) or self.result.refusal
        counts: Counter[str] = Counter()
        for batch, reply in zip(batches, replies, strict=True):
            if isinstance(reply, StoreRefused):
                counts[REFUSED] += len(batch)
            else:
                counts.update(outcome.decode() for outcome in reply)
        return counts

    async def _read(self) -> AsyncIterator[tuple[int, ExportedLetter | str]]:
        """Yield the number of each line, and the dead letter in it, or what is wrong with it."""
        for number, line in self._lines():
            try:
                letter = read_line(line) if line is not None else None
            except BadLine as error:
                yield number, str(error)
                continue
            if letter is None:
                yield number, "too long for a dead letter"
            else:
                yield number, await self.obstacle(letter) or letter

    def _call(self, batch: Sequence[ExportedLetter], *, dry: bool) -> Call:
        place, keys = (batch[0].stream, batch[0].subscription), self.store.keys
        rows = [_row(letter) for letter in batch]
        return scripts.restore(keys.dead(*place), keys.restored(*place), rows, REMEMBERED, again=self._again, dry=dry)


def _row(letter: ExportedLetter) -> list[Field]:
    pairs: list[Field] = [part for pair in letter.fields.items() for part in pair]
    return [letter.entry_id, letter.event_id, len(pairs) + 2, *pairs, ORIGIN, letter.entry_id]


def _batches(letters: Sequence[ExportedLetter]) -> Iterator[list[ExportedLetter]]:
    """Sort dead letters by place into batches that one script call may take."""
    places: dict[Place, list[ExportedLetter]] = {}
    for letter in letters:
        places.setdefault((letter.stream, letter.subscription), []).append(letter)
    for found in places.values():
        batch: list[ExportedLetter] = []
        size = 0
        for letter in found:
            if batch and (len(batch) == BATCH or size + letter.size > _MAX_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(letter)
            size += letter.size
        yield batch
