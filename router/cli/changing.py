"""Changing dead letters: count what is meant, ask, go, and leave a line that says who did what and why."""

import getpass
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import typer

from router import logs
from router.catalogue import Catalogue
from router.cli.exits import NothingMatched, complain, usage
from router.cli.listing import first
from router.cli.output import number_of, progress
from router.cli.pace import Pacer
from router.cli.rows import DEAD_LETTER_COLUMNS, dead_letter_row
from router.cli.runtime import Session, opened
from router.cli.subscriptions import none_named, without_worker
from router.cli.table import print_table
from router.scripts import BATCH
from router.store import STORE_ERRORS, StoreUnavailable
from workers.dead_letters import DeadLetterEntry, DeadLetters, Pile, Result
from workers.selector import Selector

__all__ = ["Change", "change"]

_SAMPLE = 5
_STEPS = 10  # how often a second a change that keeps to a rate goes on


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be done with which dead letters."""

    verb: str
    done: str
    selector: Selector
    most: int | None
    yes: bool
    dry_run: bool
    reason: str
    rate: float | None = None

    async def apply(self, letters: DeadLetters, batch: Sequence[DeadLetterEntry]) -> Result:
        """Do it with these."""
        return await (letters.purge(batch) if self.verb == "purge" else letters.replay(batch, self.reason))

    def meant(self, letters: DeadLetters, piles: Sequence[Pile]) -> AsyncIterator[DeadLetterEntry]:
        """Yield the dead letters that are meant, the same ones whenever it is asked."""
        return first(letters.oldest(self.selector, piles), self.most)


async def change(order: Change) -> tuple[int, Result]:
    """Return how many dead letters were meant and what became of them; raises NothingMatched."""
    async with opened() as session:
        letters = DeadLetters(session.store, session.catalogue)
        piles = await letters.freeze(order.selector)
        meant = await _look(order.meant(letters, piles))
        if not meant.number:
            why = await none_named(session, order.selector.subscription) or "no dead letter matches"
            raise NothingMatched(f"nothing to {order.verb}: {why}; `event-router dlq list` shows the dead letters")
        if order.verb == "replay":
            await _say_who_is_away(session, meant)
        if order.dry_run:
            _show(order, meant, session.catalogue)
            return meant.number, Result(0, 0)
        if meant.number > 1 or order.selector.is_empty:
            _confirm(order, meant, session.catalogue)
        result = await _carry_out(order, letters, piles, meant.number)
    _audit(order, meant.number, result)
    return meant.number, result


@dataclass(slots=True)
class _Meant:
    """What a look at the dead letters that are meant has found."""

    number: int = 0
    sample: list[DeadLetterEntry] = field(default_factory=list)
    subscriptions: set[str] = field(default_factory=set)


async def _look(letters: AsyncIterator[DeadLetterEntry]) -> _Meant:
    meant = _Meant()
    async for letter in letters:
        meant.number += 1
        meant.subscriptions.add(letter.subscription)
        if meant.number <= _SAMPLE:
            meant.sample.append(letter)
    return meant


async def _say_who_is_away(session: Session, meant: _Meant) -> None:
    if away := await without_worker(session, meant.subscriptions):
        complain(f"no worker runs for {', '.join(away)} now: what is replayed waits until one does")


def _show(order: Change, meant: _Meant, catalogue: Catalogue) -> None:
    complain(f"{order.verb} {_which(order, meant.number)}{', such as' * (meant.number > len(meant.sample))}:")
    print_table(DEAD_LETTER_COLUMNS, map(partial(dead_letter_row, catalogue), meant.sample), file=sys.stderr)


def _which(order: Change, number: int) -> str:
    which = number_of(number, "dead letter")
    if not order.selector.is_empty:
        return which
    return f"{f'all {which}' if number > 1 else 'the only dead letter'}, since nothing selects"


def _confirm(order: Change, meant: _Meant, catalogue: Catalogue) -> None:
    """Go on with a yes, of the command line or of somebody at the terminal; else end the command."""
    if order.yes:
        return
    _show(order, meant, catalogue)
    if not _is_asked():
        usage(f"add --yes to {order.verb} {'it' if meant.number == 1 else f'these {meant.number}'}")
    typer.confirm(f"{order.verb} {number_of(meant.number, 'dead letter')}?", abort=True, err=True)


def _is_asked() -> bool:
    """Return whether somebody is there to be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


async def _carry_out(order: Change, letters: DeadLetters, piles: Sequence[Pile], matched: int) -> Result:
    size = BATCH if order.rate is None else max(1, min(BATCH, int(order.rate / _STEPS)))
    pacer, batch, total = Pacer(order.rate), [], Result(0, 0)
    with progress(order.verb, matched) as advance:
        try:
            async for letter in order.meant(letters, piles):
                batch.append(letter)
                if len(batch) == size:
                    total, batch = await _step(order, letters, batch, total, pacer), []
                    advance(size)
            total = await _step(order, letters, batch, total, pacer)
        except (StoreUnavailable, *STORE_ERRORS):
            complain(f"the store was lost when {total.changed} of {matched} were {order.done}; repeating is safe")
            raise
    return total


async def _step(
    order: Change, letters: DeadLetters, batch: Sequence[DeadLetterEntry], total: Result, pacer: Pacer
) -> Result:
    await pacer.take(len(batch))
    result = await order.apply(letters, batch)
    return Result(total.changed + result.changed, total.failed + result.failed)


def _audit(order: Change, matched: int, result: Result) -> None:
    logs.get("audit").warning(
        f"dead_letters_{order.done}",
        by=getpass.getuser(),
        reason=order.reason,
        selector=order.selector.describe(),
        matched=matched,
        changed=result.changed,
        failed=result.failed,
    )
