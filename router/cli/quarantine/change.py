"""`quarantine retry|purge`: making events of what can be read by now, and removing what never will be."""

from dataclasses import replace

import typer

from router.cli.change import Kind, Order, Renormalise, carried_out, finish
from router.cli.command.exits import ExitCode, complain, usage
from router.cli.options.common import taking
from router.cli.output.results import number_of, print_json, print_line
from router.cli.quarantine.reading import QUARANTINE_COLUMNS, quarantine_row, selected
from workers.operations.change import Result
from workers.operations.quarantine import DUPLICATE, REFUSED, STORED, UNREADABLE
from workers.operations.quarantined import QuarantineSelector

_RETRY = Kind(
    verb="retry",
    done="stored",
    noun="quarantined item",
    columns=QUARANTINE_COLUMNS,
    row_of=quarantine_row,
    nothing="no quarantined item matches",
    hint="; `event-router quarantine list` shows what there is",
)
_PURGE = replace(_RETRY, verb="purge", done="purged")


@taking(selector=selected, order=Order)
def retry(*, selector: QuarantineSelector, renormalise: Renormalise = False, order: Order) -> None:
    """Read bodies again, by the catalogue of today; what becomes an event leaves the quarantine. Safe to repeat.

    --renormalise changes nothing here: a retry always makes the events of the bytes as sent. What still
    cannot be read stays, its reason is said, and the exit code is 1.
    """
    del renormalise
    result = carried_out(order, _RETRY, lambda operations: operations.retry_quarantined(selector, most=order.most))
    _finish_retry(order, result)


@taking(selector=selected, order=Order)
def purge(*, selector: QuarantineSelector, order: Order) -> None:
    """Remove bodies for good; something has to select them. More than one take --yes."""
    if selector.is_empty:
        usage(
            "quarantine purge needs something that selects, such as a publisher or an ID: it never removes everything"
        )
    result = carried_out(order, _PURGE, lambda operations: operations.purge_quarantined(selector, most=order.most))
    finish(order, _PURGE, result)


def _finish_retry(order: Order, result: Result) -> None:
    outcomes = {"stored": STORED, "duplicates": DUPLICATE, "unreadable": UNREADABLE, "failed": REFUSED}
    figures = {name: result.counts[outcome] for name, outcome in outcomes.items()}
    if order.as_json:
        print_json({"matched": result.matched, **figures})
    elif not order.dry_run:
        others = f", {number_of(figures['duplicates'], 'duplicate')}" if figures["duplicates"] else ""
        print_line(f"stored {figures['stored']} of {result.matched}{others}")
    if result.failed > len(result.notes):
        complain("more stay; `event-router quarantine list` shows them")
    if figures["unreadable"]:
        complain(f"{figures['unreadable']} still cannot be read, and stay")
    if figures["failed"]:
        complain(f"{figures['failed']} could not be stored: the server refused it")
    if result.failed:
        raise typer.Exit(ExitCode.PARTLY_FAILED)
