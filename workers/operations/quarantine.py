"""The quarantine: listing it, trying again to make events of what is there, and removing it.

A body was signed when it came, or it would not be here; its signature is not kept, so it is not verified once more. An
item becomes an event on the way that ingress takes, deduplication included, and leaves the quarantine only after that:
ending in between leaves it in both, and the next try finds a duplicate.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from config.errors import described
from config.settings import Settings
from router.events.catalogue import Catalogue
from router.events.hints import read_hints, share
from router.events.identify import NOTIFICATION_HEADER, Identified, Unreadable, identify
from router.intake.confirmation import NotDurable
from router.intake.entry import Entry, entry_of
from router.intake.writer import Batch, Outcome
from router.store import scripts
from router.store.client import Store
from router.store.errors import StoreRefused, forgiven
from router.store.merging import newest_first
from router.store.reading import Span, checked, forward, moment_of
from router.store.windows import Windows
from workers.operations.audit import CHANGED, FAILED
from workers.operations.change import Change, Tally
from workers.operations.quarantined import Quarantined, QuarantineSelector, read_quarantined

STORED, DUPLICATE, UNREADABLE, REFUSED = "stored", "duplicate", "unreadable", "refused"
"""What a retry counts beside what every change does; the first two are CHANGED, the others FAILED."""

_PAGE = 50  # bodies may be large


class QuarantineSpan(NamedTuple):
    """The quarantine of one publisher, as far as a command looks at it."""

    publisher: str
    key: str
    span: Span


class Retried(NamedTuple):
    """What became of one item; `why` says why it stays."""

    item: Quarantined
    outcome: Literal["stored", "duplicate", "unreadable", "refused"]
    why: str = ""


class Quarantine:
    """What is quarantined in one store; every method raises StoreUnavailable when it is away."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self._store = store
        self._catalogue = catalogue

    async def newest(self, selector: QuarantineSelector) -> AsyncIterator[Quarantined]:
        """Yield what is selected, newest first over all publishers."""
        names = {self._store.keys.quarantine(slug): slug for slug in selector.of(self._catalogue.publishers)}
        async for key, (entry_id, fields) in newest_first(self._store, list(names), selector.span()):
            found = read_quarantined(names[key], entry_id, fields)
            if self._wants(selector, found):
                yield found

    async def freeze(self, selector: QuarantineSelector) -> list[QuarantineSpan]:
        """Return what can be selected, up to the last entry of now: a retry may quarantine again what it cuts out."""
        slugs, span = selector.of(self._catalogue.publishers), selector.span()
        keys = [self._store.keys.quarantine(slug) for slug in slugs]
        replies = await self._store.run([scripts.extent(key, span.first, span.last) for key in keys])
        replies = forgiven(replies, keys, (b"", 0))
        return [
            QuarantineSpan(slug, key, Span(span.first, last.decode()))
            for slug, key, (last, _) in zip(slugs, keys, checked(replies), strict=True)
            if last
        ]

    async def oldest(self, selector: QuarantineSelector, spans: Iterable[QuarantineSpan]) -> AsyncIterator[Quarantined]:
        """Yield what is selected of these, one publisher after the other, oldest first."""
        for publisher, key, span in spans:
            async for entry_id, fields in forward(self._store, key, span, _PAGE):
                found = read_quarantined(publisher, entry_id, fields)
                if self._wants(selector, found):
                    yield found

    def _wants(self, selector: QuarantineSelector, found: Quarantined) -> bool:
        return selector.matches(found, self._catalogue.publishers[found.publisher].dialect.company_id)

    async def retry(self, items: Sequence[Quarantined], batch: Batch) -> list[Retried]:
        """Make events of bodies that can be read now, and remove those from the quarantine; safe to repeat.

        Of a body that holds several items, those that cannot be read are quarantined on their own.
        """
        found = [self._identified(item, batch.windows) for item in items]
        outcomes = iter(
            await batch.append([entry for entries in found if isinstance(entries, list) for entry in entries])
        )
        retried = [
            Retried(item, "unreadable", entries)
            if isinstance(entries, str)
            else _judged(item, [next(outcomes) for _ in entries])
            for item, entries in zip(items, found, strict=True)
        ]
        await self.purge([done.item for done in retried if done.outcome in ("stored", "duplicate")])
        return retried

    def _identified(self, found: Quarantined, windows: Windows) -> list[Entry] | str:
        """Return the entries of a body, or why nothing in it can be read."""
        items = identify(self._catalogue, found.publisher, found.raw, read_hints(found.hints).get(NOTIFICATION_HEADER))
        if items and not any(isinstance(item, Identified) for item in items):
            return "; ".join(sorted({item.reason for item in items if isinstance(item, Unreadable)}))
        at = int(found.received_at.timestamp() * 1000)
        hints = share(found.hints, len(items))
        webhook = found.entry_id if windows.repeats(found.publisher) else ""
        return [entry_of(self._store.keys, found.publisher, item, at, hints, webhook) for item in items]

    async def purge(self, items: Iterable[Quarantined]) -> Tally:
        """Remove bodies for good."""
        ids: dict[str, list[str]] = {}
        for item in items:
            ids.setdefault(self._store.keys.quarantine(item.publisher), []).append(item.entry_id)
        replies = await self._store.commands([("XDEL", key, *found) for key, found in ids.items()])
        return Tally.of(replies, map(len, ids.values()))


class QuarantineChange(Change[Quarantined]):
    """A change of the selected bodies, of each publisher the oldest first.

    A retry appends what can be read now as the settings say; its notes say why bodies stay.
    """

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        settings: Settings,
        verb: Literal["retry", "purge"],
        selector: QuarantineSelector,
        *,
        most: int | None = None,
    ) -> None:
        super().__init__(store, f"quarantine {verb}", selector=selector.describe(), most=most)
        self._quarantine = Quarantine(store, catalogue)
        self._appending = Batch.for_settings(store, settings) if verb == "retry" else None
        self._wanted = selector
        self._spans: Sequence[QuarantineSpan] = ()

    async def freeze(self) -> datetime | None:
        """Settle the last body of each publisher: what a retry quarantines again is not met again."""
        self._spans = await self._quarantine.freeze(self._wanted)
        return max((moment_of(span.span.last) for span in self._spans), default=None)

    def found(self) -> AsyncIterator[Quarantined]:
        """Yield the oldest of each publisher first."""
        return self._quarantine.oldest(self._wanted, self._spans)

    async def apply(self, batch: Sequence[Quarantined]) -> Counter[str]:
        """Retry or purge these."""
        if self._appending is None:
            done = await self._quarantine.purge(batch)
            self.result.refusal = done.refusal or self.result.refusal
            return done.counts()
        counts: Counter[str] = Counter()
        for item, outcome, why in await self._quarantine.retry(batch, self._appending):
            counts.update([outcome, CHANGED if outcome in (STORED, DUPLICATE) else FAILED])
            if why:
                self.result.note(f"{item.entry_id} stays: {why}")
        return counts


def _judged(item: Quarantined, outcomes: Sequence[Outcome]) -> Retried:
    for outcome in outcomes:
        if isinstance(outcome, StoreRefused | NotDurable):
            return Retried(item, "refused", described(outcome))
    return Retried(item, "stored" if any(checked(outcomes)) else "duplicate")
