"""Putting exported dead letters back, each once however often it is tried.

What makes a dead letter the same is its stream, its subscription, the entry in which it died and its event. The store
remembers for thirty days which of them it was given.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from redis.exceptions import ResponseError

from config.errors import described
from router.events.catalogue import Catalogue
from router.store import scripts
from router.store.client import Store
from router.store.reading import checked
from router.store.record import ORIGIN
from router.store.scripts import BATCH, Call, Field
from workers.operations.dead_letters.lines import ExportedLetter
from workers.state.existing import existing_groups

__all__ = ["BEFORE", "NEW", "REFUSED", "THERE", "Importer"]

NEW, THERE, BEFORE, REFUSED = "new", "there", "before", "refused"
"""What becomes of a dead letter: put back; among the dead letters already; put back before and gone since; refused."""

REMEMBERED: Final = 30 * 86_400_000
"""For how many milliseconds a dead letter that was put back is not put back again."""

_MAX_BYTES = 1024 * 1024  # of one script call
_TOLD = 100  # characters of a name that is wrong

Place = tuple[str, str]


class Importer:
    """Puts dead letters back into one store; every method raises StoreUnavailable when it is away.

    `again`: also those that were put back before, and have been replayed or purged since.
    """

    def __init__(self, store: Store, catalogue: Catalogue, *, again: bool = False) -> None:
        self._store = store
        self._known = frozenset(catalogue.streams())
        self._again = again
        self._groups: dict[str, frozenset[str]] = {}
        self.refusal = ""
        """What the server said when it last refused something."""

    async def obstacle(self, letter: ExportedLetter) -> str | None:
        """Return why a dead letter could not be found where it belongs; None where nothing is in the way."""
        if letter.stream not in self._known:
            return f"no stream {letter.stream[:_TOLD]!r} is configured"
        if letter.stream not in self._groups:
            found = (await existing_groups(self._store, [letter.stream]))[letter.stream]
            self._groups[letter.stream] = frozenset(group.name for group in found)
        if letter.subscription in self._groups[letter.stream]:
            return None
        return f"no subscription {letter.subscription[:_TOLD]!r} exists on {letter.stream}: start its worker once"

    async def restore(self, letters: Sequence[ExportedLetter], *, dry: bool = False) -> Counter[str]:
        """Put dead letters back, in their order; with `dry`, only look. Return how many were NEW, THERE and so on."""
        batches = list(_batches(letters))
        replies = await self._store.run([self._call(batch, dry=dry) for batch in batches])
        checked([reply for reply in replies if not isinstance(reply, ResponseError)])
        counts: Counter[str] = Counter()
        for batch, reply in zip(batches, replies, strict=True):
            if isinstance(reply, ResponseError):
                self.refusal = described(reply)
                counts[REFUSED] += len(batch)
            else:
                counts.update(outcome.decode() for outcome in reply)
        return counts

    def _call(self, batch: Sequence[ExportedLetter], *, dry: bool) -> Call:
        place, keys = (batch[0].stream, batch[0].subscription), self._store.keys
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
