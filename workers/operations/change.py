"""A change of what is stored: what it selects is looked at first; then exactly that is changed, counted and audited.

The command line, the console and scripts change nothing in any other way. The line in the audit is begun before the
first item is changed, and ended however the change ends; one that was killed is found there as not finished.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, NamedTuple, Self, TypeVar

from config.errors import described
from router.events.event import Event
from router.store.client import Store
from router.store.errors import StoreRefused
from router.store.reading import checked, refusal_of
from router.store.scripts import BATCH
from router.tasks.ending import in_time, whole
from router.tasks.iterating import first, unhurried
from router.tasks.pacing import batches
from workers.operations.audit import CHANGED, FAILED, INTERRUPTED, MATCHED, Deed, accounted, whoami
from workers.where import Where

T = TypeVar("T")

SAMPLE: Final = 5
"""How many of the selected items a preview holds, unless more are asked for."""

_NOTES = 20


@dataclass(slots=True)
class Preview(Generic[T]):
    """What a change selects: `number` of items, the first few, and the subscriptions that they are of.

    complete: whether that is all; False where counting took too long. until: the time of the newest entry that was
    there to be selected. What is stored later is not changed, by this change or by one whose selection ends then.
    """

    number: int = 0
    sample: list[T] = field(default_factory=list)
    complete: bool = True
    until: datetime | None = None
    subscriptions: set[str] = field(default_factory=set)
    kinds: Counter[str] = field(default_factory=Counter)
    """How many there are of each kind, where a change tells kinds apart."""
    owners: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many there are of each tenant and company, where a change is about these."""
    filtered: dict[str, int | None] = field(default_factory=dict)
    """How many the filter of each subscription that has one will skip; None where nobody has looked at them."""


@dataclass(slots=True)
class Result:
    """How far a change is, or how it ended.

    counts: of the audit, and further ones that a kind of change has. seen: the items it has come to. error: why it
    ended early. refusal: what the server said when it last refused something. notes: why items failed that are reported
    one by one, of the first twenty. filtered: as the preview has it.
    """

    counts: Counter[str] = field(default_factory=Counter)
    seen: int = 0
    error: str = ""
    refusal: str = ""
    notes: list[str] = field(default_factory=list)
    filtered: Mapping[str, int | None] = field(default_factory=dict)

    @property
    def matched(self) -> int:
        """How many items were selected."""
        return self.counts[MATCHED]

    @property
    def changed(self) -> int:
        """How many were changed."""
        return self.counts[CHANGED]

    @property
    def failed(self) -> int:
        """How many the server refused, or could not be changed for another reason."""
        return self.counts[FAILED]

    @property
    def gone(self) -> int:
        """How many of those it came to were not there any more, or needed no change."""
        return max(0, self.seen - self.changed - self.failed)

    def note(self, why: str) -> None:
        """Take note of why an item failed, as long as there are few notes."""
        if len(self.notes) < _NOTES:
            self.notes.append(why)


class Tally(NamedTuple):
    """How many items some commands changed, and for how many the server refused it (`refusal`); others were gone."""

    changed: int
    failed: int
    refusal: str = ""

    @classmethod
    def of(cls, replies: Sequence[Any], sizes: Iterable[int]) -> Self:
        """Count by the replies of commands, each of so many items; raises StoreUnavailable."""
        failed = sum(size for reply, size in zip(replies, sizes, strict=True) if isinstance(reply, StoreRefused))
        changed = sum(checked([reply for reply in replies if not isinstance(reply, StoreRefused)]))
        return cls(changed, failed, refusal_of(replies))

    def counts(self) -> Counter[str]:
        """Return the same as a change counts it."""
        return Counter({CHANGED: self.changed, FAILED: self.failed})


class Change(ABC, Generic[T]):
    """A change of the items that a selection finds; made by `Operations`, to be run once.

    The items are those that were there at the first look, whenever that is: when it is previewed, or else when it is
    run. `seen` is what the last look found, `result` how far it is, `actor` who runs it and `reason` why. At most
    `most` are changed. `filters` are those of subscriptions that judge what they are given by it.
    """

    batch = BATCH
    """How many items are changed at once at most."""

    def __init__(
        self,
        store: Store,
        verb: str,
        *,
        subject: str = "",
        selector: Mapping[str, Any] | None = None,
        most: int | None = None,
    ) -> None:
        self.store = store
        self.verb = verb
        self.subject = subject
        self.selector = dict(selector or {})
        self.most = most
        self.actor = ""
        self.reason = ""
        self.result = Result()
        self.seen: Preview[T] = Preview()
        self.filters: dict[str, Where] = {}
        self._is_frozen = False
        self._end: datetime | None = None

    async def preview(self, sample: int = SAMPLE, patience: float | None = None) -> Preview[T]:
        """Count what is selected, for at most `patience` seconds; raises StoreUnavailable."""
        self.seen = Preview()
        try:
            await in_time(patience, self._look(sample, patience)) if patience else await self._look(sample, None)
        except TimeoutError:
            self.seen.complete = False
        return self.seen

    async def run(
        self,
        *,
        actor: str = "",
        reason: str = "",
        rate: float | None = None,
        progress: Callable[[int], None] = lambda _: None,
        stop: asyncio.Event | None = None,
    ) -> Result:
        """Change what is selected, with a line in the audit of who did it (`actor`, else user@host) and why.

        rate: items a second, None for no limit. progress: called after each batch with the number of its items. It ends
        early, always between two batches, when `stop` is set or its task is cancelled; `result` tells how far it came.
        Repeating a change is safe: it does what is left. Raises StoreUnavailable.
        """
        if not (self.seen.number and self.seen.complete):
            await self.preview()
        self.result.counts[MATCHED] = self.seen.number
        self.result.filtered = self.seen.filtered
        self.actor, self.reason = actor or whoami(), reason
        deed = Deed(self.verb, self.subject, self.selector, reason, self.actor)
        try:
            async with accounted(self.store, deed, self.result.counts), aclosing(self.rounds()) as rounds:
                async for items in rounds:
                    async for batch in batches(items, rate, stop, most=self.batch, size_of=self.size_of):
                        _go_on(stop)
                        await whole(self._apply(batch))
                        progress(len(batch))
        except _Stopped:
            self.result.error = INTERRUPTED
        except BaseException as error:
            self.result.error = INTERRUPTED if isinstance(error, asyncio.CancelledError) else described(error)
            raise
        return self.result

    async def settle(self) -> datetime | None:
        """Settle, once, which entries can be selected; return the time of the newest. Raises StoreUnavailable."""
        if not self._is_frozen:
            self._end, self._is_frozen = await self.freeze(), True
        return self._end

    def items(self) -> AsyncIterator[T]:
        """Yield the selected items, the same ones each time without those that are gone."""
        return first(self.found(), self.most)

    async def rounds(self) -> AsyncGenerator[AsyncIterator[T], None]:
        """Yield what is to be changed, each round once the one before is done: a single one of all items."""
        yield self.items()

    def size_of(self, _item: T) -> int:
        """Return the bytes to send for an item, where that may be much."""
        return 0

    @abstractmethod
    async def freeze(self) -> datetime | None:
        """Look which entries can be selected, up to those that are the last ones now; return the newest one's time."""

    @abstractmethod
    def found(self) -> AsyncIterator[T]:
        """Yield what is selected of the frozen entries; raises StoreUnavailable."""

    @abstractmethod
    async def apply(self, batch: Sequence[T]) -> Counter[str]:
        """Change these; return how many were CHANGED and FAILED, the others being gone."""

    def subscriptions_of(self, _item: T) -> Sequence[str]:
        """Return the subscriptions that get an item, or had it."""
        return ()

    def kinds_of(self, _item: T) -> Sequence[str]:
        """Return the kinds that an item is counted under."""
        return ()

    def owners_of(self, _item: T) -> Sequence[tuple[str, str]]:
        """Return the tenants and companies that an item is counted under."""
        return ()

    def event_of(self, _item: T) -> Event | None:
        """Return the event that the subscriptions of an item are given; None where it has none that can be read."""
        return None

    def count(self, _seen: Preview[T]) -> bool:
        """Count what is selected without reading it, where that can be done; return whether it was."""
        return False

    async def _look(self, sample: int, patience: float | None) -> None:
        seen = self.seen
        seen.until = await self.settle()
        if self.count(seen):
            seen.filtered = dict.fromkeys(self.filters.keys() & seen.subscriptions)
            seen.sample = [item async for item in first(self.items(), sample)]
            return
        async for item in unhurried(self.items(), patience):
            seen.number += 1
            seen.subscriptions.update(self.subscriptions_of(item))
            self._filter(seen, item)
            seen.kinds.update(self.kinds_of(item))
            seen.owners.update(self.owners_of(item))
            if len(seen.sample) < sample:
                seen.sample.append(item)

    def _filter(self, seen: Preview[T], item: T) -> None:
        for name in self.filters.keys() & self.subscriptions_of(item):
            event = self.event_of(item)
            is_skipped = event is not None and not self.filters[name].passes(event)
            seen.filtered[name] = (seen.filtered.get(name) or 0) + is_skipped

    async def _apply(self, batch: Sequence[T]) -> None:
        self.result.counts.update(await self.apply(batch))
        self.result.seen += len(batch)


class _Stopped(asyncio.CancelledError):
    """Somebody has set `stop`."""


def _go_on(stop: asyncio.Event | None) -> None:
    if stop is not None and stop.is_set():
        raise _Stopped
