"""`dlq import`: putting exported dead letters back, each once, whatever else the file holds."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import typer

from router.cli.change import DryRun, Kind, Order, Reason, Yes, confirm, run_change, show_sample
from router.cli.command.exits import ExitCode, NothingMatched, complain
from router.cli.command.runtime import operate
from router.cli.dead_letters.file import STANDARD, numbered, readable
from router.cli.output.results import JsonFlag, clean, number_of, print_json, print_line
from router.cli.output.rows import DEAD_LETTER_COLUMNS, dead_letter_row
from router.events.catalogue import Catalogue
from workers.operations.dead_letters.entry import DeadLetterEntry
from workers.operations.dead_letters.lines import ExportedLetter
from workers.operations.dead_letters.restore import BEFORE, NEW, REFUSED, THERE, Import
from workers.operations.operations import Operations


def import_(
    file: Annotated[str, typer.Argument(metavar="[FILE|-]", help="What dlq export has written; - for stdin.")] = "-",
    *,
    yes: Yes = False,
    dry_run: DryRun = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also those that were imported before, and replayed or purged since.")
    ] = False,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Put exported dead letters back where they were; safe to repeat, since each is put back once.

    A line that is wrong is named with its number and left out, and the exit code is 1.
    """
    subject = "stdin" if file == STANDARD else file
    order = Order(yes=yes, dry_run=dry_run, reason=reason, as_json=as_json)

    async def work(operations: Operations) -> tuple[Import, Counter[str]]:
        change = operations.import_dead_letters(partial(numbered, opened_file), subject=subject, again=again)
        return change, await _carry_out(operations, order, change)

    with readable(file) as opened_file:
        change, outcomes = operate(work)
    _finish(order, change, outcomes)


async def _carry_out(operations: Operations, order: Order, change: Import) -> Counter[str]:
    seen = await change.preview()
    for line, why in change.bad_lines:
        complain(f"line {line}: {clean(why)}")
    if change.bad > len(change.bad_lines):
        complain(f"{change.bad - len(change.bad_lines)} more lines are wrong")
    if not seen.number + change.bad:
        raise NothingMatched(f"nothing to import: {change.subject} is empty")
    if not seen.number:
        return Counter()
    show = partial(show_sample, operations.catalogue, _KIND, f"import {number_of(seen.number, _KIND.noun)}", seen)
    if order.dry_run:
        show()
        outcomes = await change.outlook()
    else:
        if seen.number > 1:
            confirm(order, _KIND, seen.number, show)
        outcomes = (await run_change(order, _KIND, change, seen.number)).counts
    if refusal := change.result.refusal:
        complain(f"{outcomes[REFUSED]} could not be imported: {clean(refusal)}")
    return outcomes


def _row(catalogue: Catalogue, letter: ExportedLetter) -> Sequence[object]:
    entry_id = letter.entry_id.encode()
    entry = DeadLetterEntry(catalogue, letter.stream, letter.subscription, entry_id, letter.fields)
    return dead_letter_row(catalogue, entry)


_KIND = Kind(verb="import", done="imported", noun="dead letter", columns=DEAD_LETTER_COLUMNS, row_of=_row)


def _finish(order: Order, change: Import, outcomes: Counter[str]) -> None:
    new, failed, matched = outcomes[NEW], change.bad + outcomes[REFUSED], change.seen.number
    if order.as_json:
        counts = {"there": outcomes[THERE], "before": outcomes[BEFORE], "failed": failed}
        imported = {"would_import": new, "imported": 0} if order.dry_run else {"imported": new}
        bad_lines = [{"line": line, "why": why} for line, why in change.bad_lines]
        print_json({"matched": matched, **imported, **counts, "bad_lines": bad_lines})
    else:
        would = "would import" if order.dry_run else "imported"
        there = f", {outcomes[THERE]} there already" if outcomes[THERE] else ""
        gone = f", {outcomes[BEFORE]} imported before and gone since (see --again)" if outcomes[BEFORE] else ""
        print_line(f"{would} {new} of {matched}{there}{gone}")
    if failed:
        raise typer.Exit(ExitCode.PARTLY_FAILED)
