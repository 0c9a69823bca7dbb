"""`dlq export`: dead letters as JSON lines, complete or said to be not."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated

import typer

from config.errors import described
from router.cli.change import Most, Reason, nothing
from router.cli.command.exits import complain, usage
from router.cli.command.loop import in_order
from router.cli.command.runtime import operate
from router.cli.dead_letters.change import REPLAY
from router.cli.dead_letters.file import STANDARD, Incomplete, Sink, writing
from router.cli.dead_letters.options import names_events, selected
from router.cli.options.common import taking
from router.cli.output.results import number_of, progress
from router.store.errors import STORE_ERRORS
from router.tasks.iterating import first
from workers.operations.audit import INTERRUPTED, MATCHED, Deed, accounted
from workers.operations.dead_letters.entry import DeadLetterEntry
from workers.operations.dead_letters.lines import line_of
from workers.operations.dead_letters.selector import Selector
from workers.operations.operations import Operations


@taking(selector=selected)
def export(
    file: Annotated[str, typer.Argument(metavar="[FILE|-]", help="A new file, or - for stdout.")] = STANDARD,
    *,
    selector: Selector,
    most: Most = None,
    reason: Reason = "",
) -> None:
    """Write dead letters as JSON lines, whole and to the byte; they stay where they are.

    A file gets its name once it is complete; an export that is not whole is reported, and ends with 1.
    """
    if names_events(file):
        usage(f"name the file, or - for stdout, before {file}")
    deed = Deed("dlq export", file, selector.describe(), reason)
    number = operate(lambda operations: _export(operations, deed, selector, file, most))
    complain(f"exported {number_of(number, 'dead letter')} to {'stdout' if file == STANDARD else file}")


async def _export(operations: Operations, deed: Deed, selector: Selector, file: str, most: int | None) -> int:
    letters = operations.letters
    piles = await letters.freeze(selector)
    if not [letter async for letter in first(letters.oldest(selector, piles), 1)]:
        raise await nothing(operations, replace(REPLAY, verb="export"), selector.subscription)
    number = sum(pile.length for pile in piles)
    found = first(letters.oldest(selector, piles), most)
    return await _write(operations, deed, found, file, min(number, most or number))


async def _write(
    operations: Operations, deed: Deed, letters: AsyncIterator[DeadLetterEntry], file: str, number: int
) -> int:
    counts: Counter[str] = Counter()
    with writing(file) as sink, progress("export", number) as advance, in_order():
        try:
            async with accounted(operations.store, deed, counts):
                try:
                    async for letter in letters:
                        sink.write(line_of(letter))
                        counts[MATCHED] += 1
                        advance(1)
                except STORE_ERRORS as error:
                    raise Incomplete(_incomplete(sink, counts[MATCHED], described(error))) from error
                sink.finish()
        except asyncio.CancelledError:
            if not sink.is_whole:
                complain(_incomplete(sink, counts[MATCHED], INTERRUPTED))
            raise
    return counts[MATCHED]


def _incomplete(sink: Sink, number: int, why: str) -> str:
    return f"{sink.name} is incomplete, it ends after {number_of(number, 'dead letter')}: {why}"
