"""`export`: everything that is stored of a company or a tenant, as JSON lines."""

import asyncio
from collections import Counter
from typing import Annotated

import typer

from config.errors import described
from router.cli.change import Reason
from router.cli.command.exits import NothingMatched, complain
from router.cli.command.loop import in_order
from router.cli.command.runtime import operate
from router.cli.dead_letters.file import STANDARD, Incomplete, Sink, writing
from router.cli.erase import selected
from router.cli.options.common import taking
from router.cli.output.results import number_of
from router.events.whose import Whose
from router.store.errors import STORE_ERRORS
from workers.operations.audit import INTERRUPTED, MATCHED, Deed, accounted
from workers.operations.erasing.handing_out import handed_out
from workers.operations.erasing.walk import Walk
from workers.operations.operations import Operations

_EVERY = 10_000


@taking(whose=selected)
def export(
    *,
    whose: Whose,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="A new file, or - for stdout.")
    ] = STANDARD,
    reason: Reason = "",
) -> None:
    """Write everything that is stored of a company or a tenant as JSON lines, each with where it was found.

    Nothing is changed. A file is readable for its owner alone, and gets its name once it is complete. What moves from
    one place to another meanwhile may be there twice.
    """
    number = operate(lambda operations: _export(operations, whose, output, reason))
    complain(f"exported {number_of(number, 'item')} to {'stdout' if output == STANDARD else output}")


async def _export(operations: Operations, whose: Whose, output: str, reason: str) -> int:
    operations.check_publisher(whose.publisher)
    counts: Counter[str] = Counter()
    deed, walk = Deed("export", "", whose.describe(), whose.masked(reason)), await operations.stored_of(whose)
    with writing(output) as sink, in_order():
        try:
            async with accounted(operations.store, deed, counts, strictly=True):
                await _write(walk, sink, counts)
                if not counts[MATCHED]:
                    raise NothingMatched("nothing is stored of it")
                sink.finish()
        except asyncio.CancelledError:
            if not sink.is_whole:
                complain(_incomplete(sink, counts[MATCHED], INTERRUPTED))
            raise
    return counts[MATCHED]


async def _write(walk: Walk, sink: Sink, counts: Counter[str]) -> None:
    try:
        async for found in walk.found():
            sink.write(handed_out(found))
            counts[MATCHED] += 1
            if counts[MATCHED] % _EVERY == 0:
                complain(f"{counts[MATCHED]} items so far, now in the {found.place.name}")
    except STORE_ERRORS as error:
        raise Incomplete(_incomplete(sink, counts[MATCHED], described(error))) from error


def _incomplete(sink: Sink, number: int, why: str) -> str:
    return f"{sink.name} is incomplete, it ends after {number_of(number, 'item')}: {why}"
