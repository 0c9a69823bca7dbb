"""A change in the console: what is meant is looked at first, and exactly that is changed, counted and audited."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

from router.cli.changes.batches import batches
from router.console.jobs import Job
from router.console.paging import unhurried
from router.store.client import Store
from router.tasks.ending import in_time, whole
from workers.operations.audit import CHANGED, FAILED, MATCHED, Deed, accounted

__all__ = ["Change", "Preview", "carry_out", "previewed"]

T = TypeVar("T")

_SAMPLE = 8
_PATIENCE = 20.0  # seconds for counting


class Change(ABC, Generic[T]):
    """What is to be done with which things, and why; `rate` is how many a second, None for no limit."""

    group: ClassVar[str]
    """What the audit calls such things."""

    done: ClassVar[Mapping[str, str]]
    """The verbs, and what is said of a thing afterwards."""

    def __init__(self, verb: str, reason: str, rate: float | None) -> None:
        self.verb, self.reason, self.rate = verb, reason, rate

    @abstractmethod
    def described(self) -> Mapping[str, Any]:
        """Return what selects, for the audit."""

    @abstractmethod
    def meant(self) -> AsyncIterator[T]:
        """Yield what is meant of what there is now, oldest first of each stream; raises StoreUnavailable."""

    @abstractmethod
    def moment_of(self, item: T) -> datetime:
        """Return the time that an end of the selection is compared with."""

    @abstractmethod
    async def apply(self, batch: Sequence[T], job: Job) -> None:
        """Do it with these, and write down in the job how many were changed and how many refused."""


@dataclass(slots=True)
class Preview(Generic[T]):
    """What a change means: how many, whether that is all, some of them, and the newest one's time."""

    number: int = 0
    complete: bool = True
    sample: list[T] = field(default_factory=list)
    until: datetime | None = None


async def previewed(change: Change[T]) -> Preview[T]:
    """Count what is meant; raises StoreUnavailable.

    Carried out with the time of the newest as its end, the change means these and none that come in the meantime.
    """
    seen: Preview[T] = Preview()
    try:
        await in_time(_PATIENCE, _look(change, seen))
    except TimeoutError:
        seen.complete = False
    return seen


async def _look(change: Change[T], seen: Preview[T]) -> None:
    async with aclosing(unhurried(change.meant(), _PATIENCE)) as items:
        async for item in items:
            seen.number += 1
            moment = change.moment_of(item)
            seen.until = max(moment, seen.until or moment)
            if len(seen.sample) < _SAMPLE:
                seen.sample.append(item)


async def carry_out(store: Store, change: Change[Any], actor: str, job: Job) -> None:
    """Change what is meant, and leave a line in the audit, however it ends; raises StoreUnavailable.

    Who stops it waits for the batch under way, so that it is counted; to stop it twice does not keep it from the audit,
    which then says that it was interrupted.
    """
    deed = Deed(f"{change.group} {change.verb}", selector=change.described(), reason=change.reason, actor=actor)
    job.matched = await _number(change)
    counts = Counter({MATCHED: job.matched})
    async with accounted(store, deed, counts):
        async for batch in batches(change.meant(), change.rate):
            await whole(_apply(change, batch, job, counts))


async def _number(change: Change[Any]) -> int:
    number = 0
    async for _ in change.meant():
        number += 1
    return number


async def _apply(change: Change[T], batch: Sequence[T], job: Job, counts: Counter[str]) -> None:
    await change.apply(batch, job)
    job.seen += len(batch)
    counts.update({CHANGED: job.changed - counts[CHANGED], FAILED: job.failed - counts[FAILED]})
