"""Retrying and purging what is quarantined."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from config.settings import Settings
from router.console.change import Change
from router.console.jobs import Job
from router.events.catalogue import Catalogue
from router.intake.writer import Batch
from router.store.client import Store
from workers.operations.quarantine import Quarantine
from workers.operations.quarantined import Quarantined, QuarantineSelector

__all__ = ["QuarantineChange"]


class QuarantineChange(Change[Quarantined]):
    """A change of the bodies selected; what can be read now is appended as the settings say."""

    group = "quarantine"
    done: ClassVar[Mapping[str, str]] = {"retry": "stored", "purge": "purged"}

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        settings: Settings,
        verb: str,
        selector: QuarantineSelector,
        *,
        reason: str = "",
    ) -> None:
        super().__init__(verb, reason, None)
        self._quarantine = Quarantine(store, catalogue)
        self._batch = Batch.for_settings(store, settings)
        self._selector = selector

    def described(self) -> Mapping[str, Any]:
        """Return what selects, for the audit."""
        return self._selector.describe()

    async def meant(self) -> AsyncIterator[Quarantined]:
        """Yield the bodies, oldest first of each publisher."""
        async for found in self._quarantine.oldest(self._selector, await self._quarantine.freeze(self._selector)):
            yield found

    def moment_of(self, item: Quarantined) -> datetime:
        """Return when it came."""
        return item.received_at

    async def apply(self, batch: Sequence[Quarantined], job: Job) -> None:
        """Retry or purge them; the note of the job tells why the last one stays."""
        if self.verb == "purge":
            removed = await self._quarantine.purge(batch)
            job.changed += removed.changed
            job.failed += removed.failed
            return
        for tried in await self._quarantine.retry(batch, self._batch):
            if tried.outcome in ("stored", "duplicate"):
                job.changed += 1
            else:
                job.failed += 1
                job.note = f"{tried.item.entry_id} stays: {tried.why}"
