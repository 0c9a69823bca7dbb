"""`dlq watch`: dead letters as they come."""

import json
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from config.errors import told
from router.catalogue import Catalogue
from router.cli.dlq import app
from router.cli.exits import ExitCode, complain
from router.cli.listing import first
from router.cli.loop import run
from router.cli.output import clean, stamp
from router.cli.rows import dead_letter_json, event_cell
from router.cli.runtime import opened
from router.cli.selecting import What, narrowed, selecting
from workers.dead_letters import DeadLetterEntry, DeadLetters
from workers.dead_watch import watch
from workers.selector import Selector

__all__ = ["app", "watch_"]


@app.command("watch")
@selecting
def watch_(
    selector: Selector,
    what: What = None,
    *,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="End after so many.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each.")] = False,
) -> None:
    """Show dead letters as they come, until Ctrl-C; with --since, those since then first.

    A store that goes away is waited for, and what came meanwhile is shown when it is back.
    """
    try:
        run(_watch(narrowed(selector, what), limit, as_json=as_json))
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.DONE) from None


async def _watch(selector: Selector, limit: int | None, *, as_json: bool) -> None:
    async with opened() as session:
        letters = DeadLetters(session.store, session.catalogue)
        line_of = _json_line if as_json else _line_for(session.catalogue)
        async for letter in first(watch(session.store, letters, selector, _away), limit):
            sys.stdout.write(f"{line_of(letter)}\n")
            sys.stdout.flush()


def _away(error: BaseException | None) -> None:
    complain("the store is back" if error is None else f"the store is away, waiting for it: {told(error)}")


def _json_line(letter: DeadLetterEntry) -> str:
    return json.dumps(dead_letter_json(letter), ensure_ascii=False)


def _line_for(catalogue: Catalogue) -> Callable[[DeadLetterEntry], str]:
    def line(letter: DeadLetterEntry) -> str:
        what = f"{letter.error}: {letter.message}" if letter.error else letter.reason
        where = (stamp(letter.died_at), letter.event_id, event_cell(catalogue, letter.stream).drawn, letter.resource)
        cells = (*where, letter.subscription, letter.fingerprint, what.strip().partition("\n")[0])
        return "  ".join(map(clean, cells))

    return line
