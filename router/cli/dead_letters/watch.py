"""`dlq watch`: dead letters as they come."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated

import typer

from router.cli.command.exits import ExitCode
from router.cli.command.loop import run
from router.cli.command.reader import while_read
from router.cli.command.runtime import opened, say_away
from router.cli.dead_letters.options import selected
from router.cli.options.common import taking
from router.cli.output.results import clean, json_line, print_line, stamp
from router.cli.output.rows import dead_letter_json, event_cell
from router.events.catalogue import Catalogue
from router.tasks.iterating import first
from workers.operations.dead_letters.letters import DeadLetterEntry
from workers.operations.dead_letters.selector import Selector
from workers.operations.dead_letters.watch import watch

__all__ = ["watch_"]


@taking(selector=selected)
def watch_(
    *,
    selector: Selector,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="End after so many.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each.")] = False,
) -> None:
    """Show dead letters as they come, until Ctrl-C; with --since, those since then first.

    A store that goes away is waited for, and what came meanwhile is shown when it is back.
    """
    try:
        run(_watch(selector, limit, as_json=as_json))
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.DONE) from None


async def _watch(selector: Selector, limit: int | None, *, as_json: bool) -> None:
    async with opened() as operations:
        letters = operations.letters
        line_of = _json_line if as_json else _line_for(operations.catalogue)
        await while_read(_show(first(watch(operations.store, letters, selector, say_away), limit), line_of))


async def _show(letters: AsyncIterator[DeadLetterEntry], line_of: Callable[[DeadLetterEntry], str]) -> None:
    async for letter in letters:
        print_line(line_of(letter))


def _json_line(letter: DeadLetterEntry) -> str:
    return json_line(dead_letter_json(letter))


def _line_for(catalogue: Catalogue) -> Callable[[DeadLetterEntry], str]:
    def line(letter: DeadLetterEntry) -> str:
        what = f"{letter.error}: {letter.message}" if letter.error else letter.reason
        where = (stamp(letter.died_at), letter.event_id, event_cell(catalogue, letter.stream).drawn, letter.resource)
        cells = (*where, letter.subscription, letter.fingerprint, what.strip().partition("\n")[0])
        return "  ".join(map(clean, cells))

    return line
