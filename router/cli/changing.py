"""Changing dead letters: count what is meant, ask, go, and leave a line that says who did what and why."""

import getpass
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import typer

from router import logs
from router.cli.dlq import dead_letters
from router.cli.exits import NothingMatched, complain, usage
from router.cli.listing import first
from router.cli.output import print_table, progress
from router.cli.pace import Pacer
from router.cli.rows import DEAD_LETTER_COLUMNS, dead_letter_row
from router.cli.runtime import for_reading, opened
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
    async with opened(for_reading()) as session:
        letters = dead_letters(session, order.selector)
        piles = await letters.freeze(order.selector)
        matched, sample = await _look(order.meant(letters, piles))
        if not matched:
            raise NothingMatched(f"nothing to {order.verb}: no dead letter is so; `event-router dlq list` shows them")
        if order.dry_run:
            _show(order, matched, sample)
            return matched, Result(0, 0)
        if matched > 1 or order.selector.is_empty:
            _confirm(order, matched, sample)
        result = await _carry_out(order, letters, piles, matched)
    _audit(order, matched, result)
    return matched, result


async def _look(meant: AsyncIterator[DeadLetterEntry]) -> tuple[int, list[DeadLetterEntry]]:
    number, sample = 0, []
    async for letter in meant:
        number += 1
        if number <= _SAMPLE:
            sample.append(letter)
    return number, sample


def _show(order: Change, matched: int, sample: Sequence[DeadLetterEntry]) -> None:
    everything = order.selector.is_empty
    which = f"{'all ' * everything}{matched} dead letters{', since nothing selects' * everything}"
    complain(f"{order.verb} {which}{', such as' * (matched > len(sample))}:")
    print_table(DEAD_LETTER_COLUMNS, map(dead_letter_row, sample), file=sys.stderr)


def _confirm(order: Change, matched: int, sample: Sequence[DeadLetterEntry]) -> None:
    """Go on with a yes, of the command line or of somebody at the terminal; else end the command."""
    if order.yes:
        return
    _show(order, matched, sample)
    if not _is_asked():
        usage(f"add --yes to {order.verb} these {matched}")
    typer.confirm(f"{order.verb} {matched}?", abort=True, err=True)


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
            complain(f"{total.changed} of {matched} were {order.done} before the store was lost; repeating is safe")
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
