"""`dlq export`: dead letters as JSON lines, complete or said to be not."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated

import typer

from config.errors import described
from router.cli.changes.audited import audited
from router.cli.changes.order import Most, Order, Reason
from router.cli.command.exits import NothingMatched, complain, usage
from router.cli.command.loop import run
from router.cli.command.runtime import Session, opened
from router.cli.dead_letters.file import STANDARD, Incomplete, Sink, writing
from router.cli.dead_letters.options import What, names_events, narrowed, selecting
from router.cli.output.listing import first
from router.cli.output.results import number_of, progress
from router.cli.subscriptions.words import none_named
from router.store.client import STORE_ERRORS, StoreUnavailable
from workers.operations.audit import INTERRUPTED, MATCHED
from workers.operations.dead_letters.letters import DeadLetterEntry, DeadLetters
from workers.operations.dead_letters.lines import line_of
from workers.operations.dead_letters.selector import Selector

__all__ = ["export"]


@selecting
def export(
    selector: Selector,
    file: Annotated[str, typer.Argument(metavar="[FILE|-]", help="A new file, or - for stdout.")] = STANDARD,
    what: What = None,
    *,
    most: Most = None,
    reason: Reason = "",
) -> None:
    """Write dead letters as JSON lines, whole and to the byte; they stay where they are.

    A file gets its name once it is complete; what is not all is told, and ends with 1.
    """
    if names_events(file):
        usage(f"name the file, or - for stdout, before {file}")
    wanted = narrowed(selector, what)
    order = Order(
        group="dlq",
        verb="export",
        done="exported",
        noun="dead letter",
        selector=wanted.describe(),
        subject=file,
        most=most,
        reason=reason,
    )
    number = run(_export(order, wanted, file))
    complain(f"exported {number_of(number, 'dead letter')} to {'stdout' if file == STANDARD else file}")


async def _export(order: Order, selector: Selector, file: str) -> int:
    async with opened() as session:
        letters = DeadLetters(session.store, session.catalogue)
        piles = await letters.freeze(selector)
        if not [letter async for letter in first(letters.oldest(selector, piles), 1)]:
            why = await none_named(session, selector.subscription) or "no dead letter matches"
            raise NothingMatched(f"nothing to export: {why}; `event-router dlq list` shows the dead letters")
        meant = first(letters.oldest(selector, piles), order.most)
        return await _write(session, order, meant, file, sum(pile.length for pile in piles))


async def _write(session: Session, order: Order, letters: AsyncIterator[DeadLetterEntry], file: str, most: int) -> int:
    with writing(file) as sink, progress(order.verb, min(most, order.most or most)) as advance:

        def ended(counts: Counter[str], why: str) -> str:
            return _incomplete(sink, counts[MATCHED], why) if why == INTERRUPTED and not sink.is_whole else ""

        async with audited(session.store, order.deed, ended=ended) as counts:
            try:
                async for letter in letters:
                    sink.write(line_of(letter))
                    counts[MATCHED] += 1
                    advance(1)
            except (StoreUnavailable, *STORE_ERRORS) as error:
                raise Incomplete(_incomplete(sink, counts[MATCHED], described(error))) from error
            sink.finish()
    return counts[MATCHED]


def _incomplete(sink: Sink, number: int, why: str) -> str:
    return f"{sink.name} is incomplete, it ends after {number_of(number, 'dead letter')}: {why}"
