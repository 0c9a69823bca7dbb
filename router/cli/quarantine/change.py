"""`quarantine retry|purge`: making events of what can be read by now, and removing what never will be."""

import typer

from router.cli.changes.change import carry_out, finish, gone
from router.cli.changes.order import DryRun, Most, Order, Rate, Reason, Renormalise, Yes
from router.cli.command.exits import ExitCode, complain, usage
from router.cli.command.loop import run
from router.cli.command.runtime import opened
from router.cli.options.common import Since, Until
from router.cli.options.events import Company
from router.cli.output.results import JsonFlag, number_of, print_json, print_line
from router.cli.quarantine.options import Publisher, Text, What, selector_of
from router.cli.quarantine.reading import QUARANTINE_COLUMNS, quarantine_row
from workers.operations.change import Result
from workers.operations.quarantine_changes import DUPLICATE, REFUSED, STORED, UNREADABLE
from workers.operations.quarantined import QuarantineSelector

__all__ = ["purge", "retry"]

_NOUN = "quarantined item"


def retry(
    what: What = None,
    *,
    publisher: Publisher = None,
    text: Text = None,
    company: Company = None,
    since: Since = None,
    until: Until = None,
    renormalise: Renormalise = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    rate: Rate = None,
    most: Most = None,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Read bodies again, by the catalogue of today; what becomes an event leaves the quarantine. Safe to repeat.

    --renormalise changes nothing here: a retry always makes the events of the bytes as sent. What still
    cannot be read stays, its reason is said, and the exit code is 1.
    """
    del renormalise
    wanted = selector_of(what, publisher, text, since, until, company)
    order = Order(verb="retry", done="stored", noun=_NOUN, yes=yes, dry_run=dry_run, reason=reason, rate=rate)
    _finish_retry(order, _changed(order, wanted, most), as_json=as_json)


def purge(
    what: What = None,
    *,
    publisher: Publisher = None,
    text: Text = None,
    company: Company = None,
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    most: Most = None,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Remove bodies for good; something has to select them. More than one take --yes."""
    wanted = selector_of(what, publisher, text, since, until, company)
    if wanted.is_empty:
        usage(
            "quarantine purge needs something that selects, such as a publisher or an ID: it never removes everything"
        )
    order = Order(verb="purge", done="purged", noun=_NOUN, yes=yes, dry_run=dry_run, reason=reason)
    result = _changed(order, wanted, most)
    finish(order, result, as_json=as_json, others=gone(result.matched - result.changed - result.failed))


def _changed(order: Order, selector: QuarantineSelector, most: int | None) -> Result:
    async def nothing() -> str:
        return f"no {_NOUN} matches; `event-router quarantine list` shows what there is"

    async def work() -> Result:
        async with opened() as operations:
            retries = order.verb == "retry"
            change = (operations.retry_quarantined if retries else operations.purge_quarantined)(selector, most=most)
            return await carry_out(operations, order, change, QUARANTINE_COLUMNS, quarantine_row, nothing)

    return run(work())


def _finish_retry(order: Order, result: Result, *, as_json: bool) -> None:
    outcomes = {"stored": STORED, "duplicates": DUPLICATE, "unreadable": UNREADABLE, "failed": REFUSED}
    figures = {name: result.counts[outcome] for name, outcome in outcomes.items()}
    if as_json:
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
