"""Reading and changing the dead letters of all subscriptions."""

import json
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from router.events.catalogue import Catalogue
from router.store import scripts
from router.store.client import Store
from router.store.errors import forgiven
from router.store.merging import newest_first
from router.store.reading import Span, checked, forward
from workers.failure import fingerprint_of, fold_message
from workers.operations.change import Tally
from workers.operations.dead_letters.entry import DeadLetterEntry
from workers.operations.dead_letters.selector import Selector
from workers.state.groups import existing_groups

_PAGE = 100  # each may hold a body of a megabyte, and two dozen tracebacks


@dataclass(frozen=True, slots=True)
class Pile:
    """The dead letters of one subscription on one stream, as far as a command looks at them.

    `length` is how many there are on the whole stream, of whatever time.
    """

    stream: str
    subscription: str
    key: str
    span: Span
    length: int = 0


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Dead letters of one subscription and stream that failed alike."""

    subscription: str
    stream: str
    error: str
    message: str
    count: int
    first_seen: datetime
    last_seen: datetime
    sample: str
    """The event id of the newest of them."""

    @property
    def fingerprint(self) -> str:
        """The name of what went wrong, the same for every subscription and stream."""
        return fingerprint_of(self.error, self.message)


class DeadLetters:
    """The dead letters in one store.

    They are found by the subscriptions that exist on the streams of the catalogue, so nothing scans the keys. Every
    method raises StoreUnavailable when the store is away.

    `renormalise`: their events are made again from the bytes as sent, to select by them and when they are replayed.
    """

    def __init__(self, store: Store, catalogue: Catalogue, *, renormalise: bool = False) -> None:
        self._store = store
        self._catalogue = catalogue
        self._renormalise = renormalise

    async def newest(self, selector: Selector) -> AsyncIterator[DeadLetterEntry]:
        """Yield what is selected, newest first over all streams."""
        piles = {pile.key: pile for pile in await self.piles(selector)}
        async for key, (entry_id, fields) in newest_first(self._store, list(piles), selector.span()):
            letter = self.read(piles[key], entry_id, fields)
            if selector.matches(letter):
                yield letter

    async def piles(self, selector: Selector) -> list[Pile]:
        """Return the piles that the selector can mean, whether they hold anything or not."""
        streams = selector.streams(self._catalogue.streams())
        groups = await existing_groups(self._store, streams)
        pairs = [(stream, group.name) for stream in streams for group in groups[stream]]
        return [
            Pile(stream, name, self._store.keys.dead(stream, name), selector.span())
            for stream, name in pairs
            if selector.wants_subscription(name)
        ]

    async def freeze(self, selector: Selector) -> list[Pile]:
        """Return the piles that hold anything, each up to what is its last entry now.

        A command that works through them meets no event twice, even if what it replays dies again at once.
        """
        piles = await self.piles(selector)
        calls = [scripts.extent(pile.key, pile.span.first, pile.span.last) for pile in piles]
        replies = forgiven(await self._store.run(calls) if calls else [], [pile.key for pile in piles], (b"", 0))
        return [
            replace(pile, span=Span(pile.span.first, last.decode()), length=length)
            for pile, (last, length) in zip(piles, checked(replies), strict=True)
            if last
        ]

    async def oldest(self, selector: Selector, piles: Iterable[Pile]) -> AsyncIterator[DeadLetterEntry]:
        """Yield what is selected of these piles, one after the other, oldest first."""
        for pile in piles:
            async for entry_id, fields in forward(self._store, pile.key, pile.span, _PAGE):
                letter = self.read(pile, entry_id, fields)
                if selector.matches(letter):
                    yield letter

    async def replay(self, letters: Iterable[DeadLetterEntry], reason: str = "") -> Tally:
        """Move dead letters into the inboxes of the subscriptions that failed; safe to repeat.

        Deduplication is not asked: an operator wants the event handled once more.
        """
        line = json.dumps({"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "replayed": reason})
        keys, calls, sizes = self._store.keys, [], []
        for (stream, subscription), ids in _batches(letters):
            dead, inbox = keys.dead(stream, subscription), keys.inbox(stream, subscription)
            calls.append(scripts.replay(dead, inbox, ids, line, renormalise=self._renormalise))
            sizes.append(len(ids))
        return Tally.of(await self._store.run(calls), sizes)

    async def purge(self, letters: Iterable[DeadLetterEntry]) -> Tally:
        """Remove dead letters for good."""
        batches = list(_batches(letters))
        commands = [("XDEL", self._store.keys.dead(*source), *ids) for source, ids in batches]
        return Tally.of(await self._store.commands(commands), [len(ids) for _, ids in batches])

    def read(self, pile: Pile, entry_id: bytes, fields: dict[bytes, bytes]) -> DeadLetterEntry:
        """Read an entry of a pile."""
        place, again = (pile.stream, pile.subscription), self._renormalise
        return DeadLetterEntry(self._catalogue, *place, entry_id, fields, renormalise=again)


def _batches(letters: Iterable[DeadLetterEntry]) -> Iterator[tuple[tuple[str, str], list[str]]]:
    """Sort entry ids by stream and subscription into batches that one script call may take."""
    ids: dict[tuple[str, str], list[str]] = {}
    for letter in letters:
        ids.setdefault((letter.stream, letter.subscription), []).append(letter.entry_id)
    for source, found in ids.items():
        for start in range(0, len(found), scripts.BATCH):
            yield source, found[start : start + scripts.BATCH]


async def grouped(letters: AsyncIterable[DeadLetterEntry]) -> list[ErrorGroup]:
    """Group dead letters by subscription, stream, class and folded message; the largest groups come first."""
    groups: dict[tuple[str, str, str, str], ErrorGroup] = {}
    async for letter in letters:
        key = (letter.subscription, letter.stream, letter.error, fold_message(letter.message))
        groups[key] = _with(groups.get(key), key, letter)
    return sorted(groups.values(), key=lambda group: (-group.count, group.subscription, group.stream))


def _with(group: ErrorGroup | None, key: tuple[str, str, str, str], letter: DeadLetterEntry) -> ErrorGroup:
    at = letter.died_at
    if group is None:
        return ErrorGroup(*key, 1, at, at, letter.event_id)
    first, last = min(group.first_seen, at), max(group.last_seen, at)
    return ErrorGroup(*key, group.count + 1, first, last, letter.event_id if at >= group.last_seen else group.sample)
