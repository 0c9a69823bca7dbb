"""`dlq replay|purge`: changing dead letters, with a look at what is meant before it happens."""

from typing import Annotated

import typer

from router.cli.changing import Change, change
from router.cli.dlq import app
from router.cli.exits import ExitCode, complain, usage
from router.cli.loop import run
from router.cli.output import JsonFlag, print_json
from router.cli.selecting import What, narrowed, selecting
from workers.dead_letters import Result
from workers.selector import Selector

__all__ = ["app", "purge", "replay"]

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Go ahead without asking.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what is meant.")]
Most = Annotated[int | None, typer.Option("--max", min=1, help="At most so many; of each stream the oldest.")]
Rate = Annotated[float | None, typer.Option("--rate", min=0.01, help="At most so many a second.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept with the event and in the log.")]


@app.command()
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
    order = Change("replay", "replayed", narrowed(selector, what), most, yes, dry_run, reason, rate)
    _finish(order, *run(change(order)), as_json=as_json)


@app.command()
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
    order = Change("purge", "purged", narrowed(selector, what), most, yes, dry_run, reason)
    if order.selector.is_empty:
        usage(
            "dlq purge needs something that selects, such as --subscription NAME or an ID: it never removes everything"
        )
    _finish(order, *run(change(order)), as_json=as_json)


def _finish(order: Change, matched: int, result: Result, *, as_json: bool) -> None:
    if as_json:
        print_json({"matched": matched, order.done: result.changed, "failed": result.failed})
    elif not order.dry_run:
        gone = matched - result.changed - result.failed
        were = "was" if gone == 1 else "were"
        typer.echo(f"{order.done} {result.changed} of {matched}" + (f", {gone} {were} gone already" if gone else ""))
    if result.failed:
        complain(f"{result.failed} could not be {order.done}: the server refused it")
        raise typer.Exit(ExitCode.PARTLY_FAILED)
