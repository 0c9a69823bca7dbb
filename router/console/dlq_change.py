"""Replaying and purging dead letters."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from router.console.change import Change
from router.console.jobs import Job
from router.events.catalogue import Catalogue
from router.store.client import Store
from workers.operations.dead_letters.letters import DeadLetterEntry, DeadLetters
from workers.operations.dead_letters.selector import Selector

__all__ = ["DeadLetterChange", "Picked", "key_of"]

Picked = tuple[str, str, str]
"""Which letter: its entry id, its stream, its subscription."""


def key_of(letter: DeadLetterEntry) -> Picked:
    """Return what tells a letter from all others."""
    return letter.entry_id, letter.stream, letter.subscription


class DeadLetterChange(Change[DeadLetterEntry]):
    """A change of the letters selected, and of them only the ones picked, if any are.

    `subscriptions` are those of the letters that were found so far.
    """

    group = "dlq"
    done: ClassVar[Mapping[str, str]] = {"replay": "replayed", "purge": "purged"}

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        verb: str,
        selector: Selector,
        picked: frozenset[Picked] = frozenset(),
        *,
        reason: str = "",
        rate: float | None = None,
    ) -> None:
        super().__init__(verb, reason, rate)
        self._letters = DeadLetters(store, catalogue)
        # No more is read than the picked ones need.
        self._selector = selector.narrowed(*(entry_id for entry_id, _, _ in picked)) if picked else selector
        self._picked = picked
        self.subscriptions: set[str] = set()

    def described(self) -> Mapping[str, Any]:
        """Return what selects, for the audit."""
        return self._selector.describe()

    async def meant(self) -> AsyncIterator[DeadLetterEntry]:
        """Yield the letters, oldest first of each pile."""
        async for letter in self._letters.oldest(self._selector, await self._letters.freeze(self._selector)):
            if not self._picked or key_of(letter) in self._picked:
                self.subscriptions.add(letter.subscription)
                yield letter

    def moment_of(self, item: DeadLetterEntry) -> datetime:
        """Return when it died."""
        return item.died_at

    async def apply(self, batch: Sequence[DeadLetterEntry], job: Job) -> None:
        """Replay or purge them."""
        letters = self._letters
        result = await (letters.purge(batch) if self.verb == "purge" else letters.replay(batch, self.reason))
        job.changed += result.changed
        job.failed += result.failed
