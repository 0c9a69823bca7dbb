"""`subscriptions remove`: taking a subscription away for good, with a look at what goes before it happens."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from router.cli.change import Kind, Order, Reason, Yes, ask, run_change
from router.cli.command.exits import ExitCode, NothingMatched, complain, usage
from router.cli.command.runtime import none_named, operate
from router.cli.options.completing import event_types, subscriptions
from router.cli.output.results import JsonFlag, number_of, print_json, print_line
from router.cli.output.rows import event_cell
from router.cli.output.table import EVENT, Column, print_table
from router.events.catalogue import Catalogue
from workers.operations.operations import Operations
from workers.operations.removal import FIGURES, Removal
from workers.state.overview import SubscriptionOverview

_KIND: Kind[SubscriptionOverview] = Kind(verb="remove", done="removed", noun="stream")
_COLUMNS = (EVENT, *(Column(name.upper(), right=True) for name in FIGURES))


def remove(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The subscription to remove.", autocompletion=subscriptions)
    ],
    *,
    yes: Yes = False,
    dead_letters: Annotated[bool, typer.Option("--dead-letters", help="Remove its dead letters, too.")] = False,
    former: Annotated[
        bool, typer.Option("--former", help="Only from streams that are no longer configured; its workers may run.")
    ] = False,
    events: Annotated[
        list[str] | None,
        typer.Option(
            "--event",
            "--events",
            metavar="GLOB",
            help="Only from these streams, such as those that its globs leave out now; can be repeated.",
            autocompletion=event_types,
        ),
    ] = None,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Remove a subscription that no worker runs any more, with all that it had still to do.

    Safe to repeat; once nothing of it is left the exit code is 3, as for a name that no subscription ever had.

    The events stay in their streams, for other subscriptions; this one no longer keeps them from being trimmed.
    """
    if events and former:
        usage("--former names the streams already: leave out --events")
    order = Order(yes=yes, reason=reason)

    async def work(operations: Operations) -> Removal:
        change = operations.remove_subscription(name, events=events or (), former=former, dead_letters=dead_letters)
        where = "none of these streams" if events else "no stream that is no longer configured"
        await _remove(operations, order, change, where=where, dead_letters=dead_letters)
        return change

    change = operate(work)
    removed = change.removed
    failed = [*removed.kept, *removed.refused]
    streams = sum(holding.stream not in failed for holding in change.holdings)
    if as_json:
        print_json({"subscription": name, "streams": streams, "dead_letters": removed.dead_letters, "failed": failed})
    else:
        dead = f" and {number_of(removed.dead_letters, 'dead letter')}" if removed.dead_letters else ""
        print_line(f"removed {name} from {number_of(streams, 'stream')}{dead}")
    for stream in removed.kept:
        complain(f"{name} is left on {stream}, where it has dead letters: add --dead-letters")
    for stream, why in removed.refused.items():
        complain(f"{name} is left on {stream}: {why}")
    if failed:
        raise typer.Exit(ExitCode.PARTLY_FAILED)


async def _remove(operations: Operations, order: Order, change: Removal, *, where: str, dead_letters: bool) -> None:
    name, seen = change.subject, await change.preview()
    if not seen.number:
        why = await none_named(operations, name) or f"{name} is on {where}"
        raise NothingMatched(f"nothing to remove, or removed already: {why}")
    if (number := sum(holding.dead for holding in change.holdings)) and not dead_letters:
        usage(
            f"{name} has {number_of(number, 'dead letter')}: look at `event-router dlq list --subscription {name}`, "
            "and add --dead-letters to remove them, too"
        )
    if not order.yes:
        _confirm(name, change.holdings, operations.catalogue)
        await change.refuse_in_use()
    await run_change(order, _KIND, change, seen.number)


def _confirm(name: str, found: Sequence[SubscriptionOverview], catalogue: Catalogue) -> None:
    """Go on with a yes of somebody at the terminal; else end the command."""
    busy = [holding for holding in found if any(_figures(holding))]
    complain(f"remove {name} from {number_of(len(found), 'stream')}, with {'this:' if busy else 'nothing left to do'}")
    if busy:
        rows = [(event_cell(catalogue, holding.stream), *_figures(holding)) for holding in busy]
        print_table(_COLUMNS, rows, file=sys.stderr)
    ask(f"remove {name}?", "add --yes to remove it")


def _figures(holding: SubscriptionOverview) -> tuple[int, ...]:
    return tuple(getattr(holding, figure) for figure in FIGURES)
