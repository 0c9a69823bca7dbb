"""Retrying and purging what is quarantined."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Literal

from config.settings import Settings
from router.events.catalogue import Catalogue
from router.intake.writer import Batch
from router.store.client import Store
from router.store.reading import moment_of
from workers.operations.audit import CHANGED, FAILED
from workers.operations.change import Change
from workers.operations.quarantine import Quarantine, QuarantineSpan
from workers.operations.quarantined import Quarantined, QuarantineSelector

STORED, DUPLICATE, UNREADABLE, REFUSED = "stored", "duplicate", "unreadable", "refused"
"""What a retry counts beside what every change does; the first two are CHANGED, the others FAILED."""


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

    async def apply(self, batch: Sequence[Quarantined], reason: str) -> Counter[str]:
        """Retry or purge these."""
        del reason
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
