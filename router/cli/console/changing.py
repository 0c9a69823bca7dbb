"""Replaying and purging dead letters: what is meant is looked at first, and exactly that is changed."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from router import audit
from router.catalogue import Catalogue
from router.cli.console.jobs import Job
from router.cli.pace import Pacer
from router.scripts import BATCH
from router.store import Store
from workers.dead_letters import DeadLetterEntry, DeadLetters, Pile
from workers.selector import Selector

__all__ = ["DONE", "Order", "Picked", "Preview", "carry_out", "key_of", "previewed"]

DONE = {"replay": "replayed", "purge": "purged"}
"""The verbs, and what is said of a letter afterwards."""

_SAMPLE = 8
_PATIENCE = 20.0  # seconds for counting
_STEPS = 4  # how often a second a change that keeps to a rate goes on

Picked = tuple[str, str, str]
"""Which letter: its entry id, its stream, its subscription."""


def key_of(letter: DeadLetterEntry) -> Picked:
    """Return what tells a letter from all others."""
    return letter.entry_id, letter.stream, letter.subscription


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done with which letters: those selected, and of them only the ones picked, if any are."""

    verb: str
    selector: Selector
    picked: frozenset[Picked] = frozenset()
    reason: str = ""
    rate: float | None = None

    async def meant(self, letters: DeadLetters, piles: Sequence[Pile]) -> AsyncIterator[DeadLetterEntry]:
        """Yield the letters, oldest first of each pile."""
        async for letter in letters.oldest(self.selector, piles):
            if not self.picked or key_of(letter) in self.picked:
                yield letter

    def narrowed(self) -> "Order":
        """Return the order with a selector that reads no more than the picked ones need."""
        if not self.picked:
            return self
        return replace(self, selector=self.selector.narrowed(*(entry_id for entry_id, _, _ in self.picked)))

    def described(self) -> Mapping[str, Any]:
        """Return what selects, for the audit."""
        return self.selector.describe()


@dataclass(slots=True)
class Preview:
    """What an order means: how many letters, whether there are more, some of them, and the newest one's time."""

    number: int = 0
    complete: bool = True
    sample: list[DeadLetterEntry] = field(default_factory=list)
    subscriptions: set[str] = field(default_factory=set)
    until: datetime | None = None


async def previewed(store: Store, catalogue: Catalogue, order: Order) -> Preview:
    """Count what is meant; raises StoreUnavailable.

    Carried out with the time of the newest as its end, the order means these and none that die in the meantime.
    """
    letters, seen = DeadLetters(store, catalogue), Preview()
    try:
        async with asyncio.timeout(_PATIENCE):
            async for letter in order.meant(letters, await letters.freeze(order.selector)):
                seen.number += 1
                seen.subscriptions.add(letter.subscription)
                seen.until = max(letter.died_at, seen.until or letter.died_at)
                if len(seen.sample) < _SAMPLE:
                    seen.sample.append(letter)
    except TimeoutError:
        seen.complete = False
    return seen


async def carry_out(store: Store, catalogue: Catalogue, order: Order, actor: str, job: Job) -> None:
    """Change what is meant, and leave a line in the audit, however it ends; raises StoreUnavailable."""
    try:
        await _change(DeadLetters(store, catalogue), order, job)
    finally:
        await audit.record(
            store,
            f"dlq {order.verb}",
            selector=order.described(),
            matched=job.matched or 0,
            changed=job.changed,
            failed=job.failed,
            reason=order.reason,
            actor=actor,
        )


async def _change(letters: DeadLetters, order: Order, job: Job) -> None:
    size = BATCH if order.rate is None else max(1, min(BATCH, int(order.rate / _STEPS)))
    pacer, batch = Pacer(order.rate), []
    async for letter in order.meant(letters, await letters.freeze(order.selector)):
        batch.append(letter)
        if len(batch) == size:
            await _step(letters, order, batch, pacer, job)
            batch = []
    if batch:
        await _step(letters, order, batch, pacer, job)


async def _step(letters: DeadLetters, order: Order, batch: Sequence[DeadLetterEntry], pacer: Pacer, job: Job) -> None:
    await pacer.take(len(batch))
    result = await (letters.purge(batch) if order.verb == "purge" else letters.replay(batch, order.reason))
    job.matched = (job.matched or 0) + len(batch)
    job.changed += result.changed
    job.failed += result.failed
