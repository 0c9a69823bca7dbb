"""Changing what is stored: count what is meant, ask, go, and leave an audit line that says who did what and why."""

import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from router.cli.asking import ask
from router.cli.audited import audited
from router.cli.batches import batches
from router.cli.exits import NothingMatched, complain
from router.cli.order import Order
from router.cli.output import number_of, progress
from router.cli.runtime import Session
from router.cli.table import Column, print_table
from router.ending import whole

__all__ = ["SAMPLE", "Meant", "Work", "change", "confirm", "counted", "show_sample", "tell_refused"]

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
    if meant.number > 1 or not order.selector:
        confirm(order, meant.number, lambda: _show(order, work, meant))
    with progress(order.verb, meant.number) as advance:
        async with audited(session, order, meant.number) as counts:
            await _carry_out(order, work, counts, advance)
    return meant.number, counts


async def _carry_out(order: Order, work: Work[T], counts: Counter[str], advance: Callable[[int], None]) -> None:
    async for batch in batches(work.items(), order.rate):
        await whole(_apply(work, batch, counts))
        advance(len(batch))


async def _apply(work: Work[T], batch: Sequence[T], counts: Counter[str]) -> None:
    counts.update(await work.apply(batch))


def tell_refused(number: int, done: str) -> None:
    """Say how many the server did not let be changed, if any."""
    if number:
        complain(f"{number} could not be {done}: the server refused it")


def show_sample(what: str, number: int, columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> None:
    """Say what is meant, and show the first few of them."""
    complain(f"{what}{', such as' if number > len(rows) else ''}:")
    print_table(columns, rows, file=sys.stderr)


def _show(order: Order, work: Work[T], meant: Meant[T]) -> None:
    what = f"{order.verb} {_which(order, meant.number)}"
    show_sample(what, meant.number, work.columns, [work.row(item) for item in meant.sample])


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
