"""`dlq replay|purge`: changing dead letters, with a look at what is meant before it happens."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import typer

from router.cli.changes.change import SAMPLE, Meant, Work, change, counted, tell_refused
from router.cli.changes.order import DryRun, Most, Order, Rate, Reason, Yes
from router.cli.command.exits import ExitCode, complain, usage
from router.cli.command.loop import run
from router.cli.command.runtime import Session, opened
from router.cli.dead_letters.options import What, narrowed, selecting
from router.cli.output.listing import first
from router.cli.output.results import JsonFlag, print_json, print_line
from router.cli.output.rows import DEAD_LETTER_COLUMNS, dead_letter_row
from router.cli.subscriptions.words import none_named, without_worker
from workers.operations.audit import CHANGED, FAILED
from workers.operations.dead_letters.letters import DeadLetterEntry, DeadLetters, Pile
from workers.operations.dead_letters.selector import Selector

__all__ = ["purge", "replay"]


@selecting
def replay(
    selector: Selector,
    what: What = None,
    *,
    yes: Yes = False,
    dry_run: DryRun = False,
    rate: Rate = None,
    most: Most = None,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Give events to the subscription that failed, and to no other, once more; safe to repeat.

    A single one goes at once. More than one, and everything where nothing selects, is counted and shown first.
    """
    wanted = narrowed(selector, what)
    order = _order("replay", "replayed", wanted, most=most, yes=yes, dry_run=dry_run, reason=reason, rate=rate)
    _finish(order, *run(_change(order, wanted)), as_json=as_json)


@selecting
def purge(
    selector: Selector,
    what: What = None,
    *,
    yes: Yes = False,
    dry_run: DryRun = False,
    most: Most = None,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Remove dead letters for good; something has to select them. More than one take --yes."""
    wanted = narrowed(selector, what)
    if wanted.is_empty:
        usage(
            "dlq purge needs something that selects, such as --subscription NAME or an ID: it never removes everything"
        )
    order = _order("purge", "purged", wanted, most=most, yes=yes, dry_run=dry_run, reason=reason)
    _finish(order, *run(_change(order, wanted)), as_json=as_json)


def _order(verb: str, done: str, selector: Selector, **given: Any) -> Order:
    return Order(group="dlq", verb=verb, done=done, noun="dead letter", selector=selector.describe(), **given)


class _DeadLetterWork(Work[DeadLetterEntry]):
    """A change of dead letters, of those that there were when it began."""

    columns = DEAD_LETTER_COLUMNS

    def __init__(
        self, session: Session, letters: DeadLetters, order: Order, selector: Selector, piles: Sequence[Pile]
    ) -> None:
        self._session = session
        self._letters = letters
        self._order = order
        self._selector = selector
        self._piles = piles
        self._subscriptions: set[str] = set()

    def items(self) -> AsyncIterator[DeadLetterEntry]:
        """Yield the oldest of each pile first."""
        return first(self._letters.oldest(self._selector, self._piles), self._order.most)

    def row(self, item: DeadLetterEntry) -> Sequence[object]:
        """Return the cells of a list of dead letters."""
        return dead_letter_row(self._session.catalogue, item)

    async def apply(self, batch: Sequence[DeadLetterEntry]) -> Counter[str]:
        """Replay or purge them."""
        letters = self._letters
        replaying = self._order.verb == "replay"
        result = await (letters.replay(batch, self._order.reason) if replaying else letters.purge(batch))
        return Counter({CHANGED: result.changed, FAILED: result.failed})

    async def nothing(self) -> str:
        """Tell a name that no subscription has from dead letters that are not there."""
        why = await none_named(self._session, self._selector.subscription) or "no dead letter matches"
        return f"{why}; `event-router dlq list` shows the dead letters"

    async def look(self) -> Meant[DeadLetterEntry]:
        """Count what is meant; where it does not matter what it is, without reading it all."""
        if self._selector.is_of_places:
            return Meant(self._length(), [letter async for letter in first(self.items(), SAMPLE)])
        return await counted(self._noted())

    async def warn(self) -> None:
        """Say who is not there to get what is replayed."""
        if self._order.verb == "replay" and (away := await without_worker(self._session, self._subscriptions)):
            complain(f"no worker runs for {', '.join(away)} now: what is replayed waits until one does")

    def _length(self) -> int:
        number, most = 0, self._order.most
        for pile in self._piles:
            if most is None or number < most:
                number += pile.length
                self._subscriptions.add(pile.subscription)
        return number if most is None else min(number, most)

    async def _noted(self) -> AsyncIterator[DeadLetterEntry]:
        async for letter in self.items():
            self._subscriptions.add(letter.subscription)
            yield letter


async def _change(order: Order, selector: Selector) -> tuple[int, Counter[str]]:
    async with opened() as session:
        letters = DeadLetters(session.store, session.catalogue)
        work = _DeadLetterWork(session, letters, order, selector, await letters.freeze(selector))
        return await change(session, order, work)


def _finish(order: Order, matched: int, counts: Counter[str], *, as_json: bool) -> None:
    changed, failed = counts[CHANGED], counts[FAILED]
    if as_json:
        print_json({"matched": matched, order.done: changed, "failed": failed})
    elif not order.dry_run:
        gone = matched - changed - failed
        were = "was" if gone == 1 else "were"
        print_line(f"{order.done} {changed} of {matched}" + (f", {gone} {were} gone already" if gone else ""))
    tell_refused(failed, order.done)
    if failed:
        raise typer.Exit(ExitCode.PARTLY_FAILED)
