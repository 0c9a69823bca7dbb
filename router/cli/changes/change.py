"""Changing what is stored: count what is meant, ask, go, and leave an audit line that says who did what and why."""

import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from router.cli.changes.asking import ask
from router.cli.changes.audited import audited
from router.cli.changes.batches import batches
from router.cli.changes.order import Order
from router.cli.command.exits import NothingMatched, complain
from router.cli.command.runtime import Session
from router.cli.output.results import number_of, progress
from router.cli.output.table import Column, print_table
from router.tasks.ending import whole
from workers.operations.audit import CHANGED, FAILED, MATCHED

__all__ = [
    "SAMPLE",
    "Meant",
    "Work",
    "carry_out",
    "change",
    "confirm",
    "counted",
    "repeatable",
    "show_sample",
    "tell_refused",
]

T = TypeVar("T")

SAMPLE = 5
"""How many are shown before a change."""


@dataclass(slots=True)
class Meant(Generic[T]):
    """What a look at what is meant has found: how many, and the first few."""

    number: int = 0
    sample: list[T] = field(default_factory=list)


class Work(ABC, Generic[T]):
    """A change: which things it means, and what is done with them."""

    columns: Sequence[Column]

    asks_for_one = False
    """Whether a single thing that is selected takes a yes, too."""

    @abstractmethod
    def items(self) -> AsyncIterator[T]:
        """Yield what is meant, the same ones whenever it is asked, but for those that are gone."""

    @abstractmethod
    def row(self, item: T) -> Sequence[object]:
        """Return the cells of the columns."""

    @abstractmethod
    async def apply(self, batch: Sequence[T]) -> Counter[str]:
        """Do it with these; return how many were CHANGED and FAILED, the others being gone."""

    @abstractmethod
    async def nothing(self) -> str:
        """Return what to say when nothing is meant."""

    @abstractmethod
    async def look(self) -> Meant[T]:
        """Count what is meant."""

    async def warn(self) -> None:
        """Say, before anybody is asked, what should be known."""

    def told(self, order: Order, number: int) -> str:
        """Return what the order means, in words."""
        return f"{order.verb} {_which(order, number)}"

    def ended(self, order: Order, counts: Counter[str], why: str) -> str:
        """Return what to say of a change that ended early, because of `why`."""
        return repeatable(order, counts, why)


async def counted(items: AsyncIterator[T]) -> Meant[T]:
    """Count things by going through them."""
    meant: Meant[T] = Meant()
    async for item in items:
        meant.number += 1
        if meant.number <= SAMPLE:
            meant.sample.append(item)
    return meant


async def change(session: Session, order: Order, work: Work[T]) -> tuple[int, Counter[str]]:
    """Return how many things were meant and what became of them; raises NothingMatched."""
    meant = await work.look()
    if not meant.number:
        raise NothingMatched(f"nothing to {order.verb}: {await work.nothing()}")
    await work.warn()
    if order.dry_run:
        _show(order, work, meant)
        return meant.number, Counter()
    if meant.number > 1 or not order.selector or work.asks_for_one:
        confirm(order, meant.number, lambda: _show(order, work, meant))
    found = batches(work.items(), order.rate)
    counts = await carry_out(session, order, found, work.apply, meant.number, work.ended)
    return meant.number, counts


async def carry_out(
    session: Session,
    order: Order,
    found: AsyncIterator[Sequence[T]],
    apply: Callable[[Sequence[T]], Awaitable[Counter[str]]],
    matched: int,
    ended: Callable[[Order, Counter[str], str], str],
    *,
    failed: int = 0,
) -> Counter[str]:
    """Apply a change to what is found, batch by batch, audited; return what became of it, `failed` included.

    Whatever ends it in order does so between two batches: the one under way is finished and counted.
    """
    with progress(order.verb, matched) as advance:
        async with audited(session.store, order.deed, matched, partial(ended, order)) as counts:
            counts[FAILED] += failed
            async for batch in found:
                await whole(_apply(apply, batch, counts))
                advance(len(batch))
    return counts


async def _apply(
    apply: Callable[[Sequence[T]], Awaitable[Counter[str]]], batch: Sequence[T], counts: Counter[str]
) -> None:
    counts.update(await apply(batch))


def repeatable(order: Order, counts: Counter[str], why: str) -> str:
    """Return what to say of a change that ended early and goes on when it is repeated."""
    return f"{why} when {counts[CHANGED]} of {counts[MATCHED]} were {order.done}; repeating is safe"


def tell_refused(number: int, done: str) -> None:
    """Say how many the server did not let be changed, if any."""
    if number:
        complain(f"{number} could not be {done}: the server refused it")


def show_sample(what: str, number: int, columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> None:
    """Say what is meant, and show the first few of them."""
    complain(f"{what}{', such as' if number > len(rows) else ''}:")
    print_table(columns, rows, file=sys.stderr)


def _show(order: Order, work: Work[T], meant: Meant[T]) -> None:
    rows = [work.row(item) for item in meant.sample]
    show_sample(work.told(order, meant.number), meant.number, work.columns, rows)


def _which(order: Order, number: int) -> str:
    which = number_of(number, order.noun)
    if order.selector:
        return which
    return f"{f'all {which}' if number > 1 else f'the only {order.noun}'}, since nothing selects"


def confirm(order: Order, number: int, show: Callable[[], None]) -> None:
    """Go on with a yes, of the command line or of somebody at the terminal; else end the command."""
    if order.yes:
        return
    show()
    otherwise = f"add --yes to {order.verb} {'it' if number == 1 else f'these {number}'}"
    ask(f"{order.verb} {number_of(number, order.noun)}?", otherwise)
