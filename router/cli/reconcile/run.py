"""`reconcile run`: a sweep now, and the word of an operator that records are gone."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from router.cli.change import Reason, Yes, ask
from router.cli.command.exits import ExitCode, NothingMatched, complain
from router.cli.command.loop import in_order
from router.cli.command.runtime import operate
from router.cli.options.common import Since
from router.cli.output.results import JsonFlag, number_of, print_json, print_line
from router.cli.reconcile.reading import Name, of_name
from workers.operations.operations import Operations
from workers.operations.sweeping import SweepNow, SweptNow


def run(
    name: Name,
    *,
    company: Annotated[
        list[str] | None, typer.Option("--company", metavar="TENANT/COMPANY", help="Only this one; may be repeated.")
    ] = None,
    since: Since = None,
    complete: Annotated[
        bool, typer.Option("--complete", help="List all records, to find those that are gone, though that is not due.")
    ] = False,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Let as many records be gone as are held; lists all records again.")
    ] = False,
    yes: Yes = False,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Sweep now, whether it is due or not; safe to repeat.

    Changes that no webhook reported become events. Records that are gone do, too, where `deletes` is due or with
    --complete; where they are too many to believe they are held, and --confirm lets them go. What takes long says on
    stderr how far it is: an ERP that does not answer is asked four times in all, within a minute or two, and the quota
    is waited for. Exit code 1: a company was not swept, or is held.
    """
    wanted = SweepNow(company or (), complete or confirm, since, reason=reason, say=_say)
    found = operate(lambda operations: _run(operations, name, wanted, confirm=confirm, yes=yes))
    if as_json:
        print_json([_json(each) for each in found])
    else:
        for each in found:
            print_line(_line(each))
    for each in found:
        if each.swept is not None and each.swept.error:
            complain(f"{each.company}: {each.swept.error}")
        if each.swept is not None and not confirm and each.swept.held:
            complain(f"{each.company}: are they gone? event-router reconcile run {name} --confirm")
    if any(each.swept is None or each.swept.held for each in found):
        raise typer.Exit(ExitCode.PARTLY_FAILED)


def _say(company: str, words: str) -> None:
    complain(f"{company}: {words}")


async def _run(operations: Operations, name: str, wanted: SweepNow, *, confirm: bool, yes: bool) -> Sequence[SweptNow]:
    companies = of_name(await operations.reconciliations(), name)
    if unknown := set(wanted.companies) - {each.company for each in companies}:
        known = ", ".join(each.company for each in companies)
        raise NothingMatched(f"{name} has no company {', '.join(sorted(unknown))}; there are {known}")
    if confirm:
        held = [e for e in companies if e.swept.held and (not wanted.companies or e.company in wanted.companies)]
        if not held:
            raise NothingMatched(f"nothing is held of {name}")
        if not yes:
            for each in held:
                complain(f"{each.company}: {each.swept.held} of {each.swept.held_of} records seem to be gone")
            ask(
                f"let {number_of(sum(each.swept.held for each in held), 'record')} be gone?", "add --yes to let them go"
            )
        wanted = replace(
            wanted,
            companies=[each.company for each in held],
            confirmed={each.company: each.swept.held for each in held},
        )
    with in_order():
        return await operations.sweep(name, wanted)


def _line(found: SweptNow) -> str:
    if found.swept is None:
        return f"{found.company}  not swept: {found.error}"
    swept = found.swept
    held = f", {swept.held} of {swept.held_of} records seem to be gone and are held" if swept.held else ""
    changes = f"{number_of(swept.listed, 'change')}, {swept.reported} reported"
    return f"{found.company}  {changes}, {number_of(swept.made, 'event')} made{held}"


def _json(found: SweptNow) -> dict[str, object]:
    names = ("listed", "reported", "made", "repaired", "deleted", "held", "held_of", "unreadable")
    swept = {name: getattr(found.swept, name) for name in names} if found.swept else {}
    error = found.error or (found.swept.error if found.swept else "")
    return {"company": found.company, "swept": found.swept is not None, **swept, "error": error or None}
