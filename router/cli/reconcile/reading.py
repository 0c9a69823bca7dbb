"""`reconcile list|show`: how far the sweeps of each company are."""

from typing import Annotated, Any

import typer

from router.cli.command.exits import NothingMatched, complain
from router.cli.command.runtime import operate
from router.cli.output.results import JsonFlag, print_json, print_line, print_record, stamp
from router.cli.output.table import Column, print_table, rest
from workers.operations.operations import Operations
from workers.state.reconcile import CompanyState, moment

Name = Annotated[str, typer.Argument(metavar="NAME", help="As `reconcile list` shows it: [reconcile.NAME].")]

_COLUMNS = (
    Column("NAME"),
    Column("COMPANY", shrink=((4, 30),), cut="middle"),
    Column("STATE"),
    Column("REPAIRED", right=True),
    Column("HELD", right=True),
    Column("SWEPT"),
    rest("NEXT"),
)


def list_(*, as_json: JsonFlag = False) -> None:
    """List the reconciliations, each with its companies.

    REPAIRED counts the events that sweeps have made of what no webhook reported, HELD the records that seem to be gone
    and are too many to believe. SWEPT is when the last sweep began that came to its end.
    """
    found = operate(Operations.reconciliations)
    if as_json:
        print_json([_json(each) for each in found])
        return
    print_table(_COLUMNS, [_row(each) for each in found])
    if not found:
        complain("there is no reconciliation: set [reconcile.NAME] (docs/reconcile.md)")


def show(name: Name, *, as_json: JsonFlag = False) -> None:
    """Show one reconciliation: how far each of its companies is, and what went wrong."""
    found = of_name(operate(Operations.reconciliations), name)
    if as_json:
        first = found[0]
        head = {"name": name, "publisher": first.publisher, "path": first.path}
        print_json({**head, "companies": [_json(each) for each in found]})
        return
    for number, each in enumerate(found):
        if number:
            print_line("")
        print_record({key: value for key, value in _json(each).items() if value not in (0, None)})


def of_name(found: list[CompanyState], name: str) -> list[CompanyState]:
    """Return the companies of one reconciliation; raises NothingMatched where there is none."""
    if own := [each for each in found if each.name == name]:
        return own
    names = ", ".join(dict.fromkeys(each.name for each in found))
    raise NothingMatched(f"there is no reconciliation {name!r}; {f'there are {names}' if names else 'none is set'}")


def _row(each: CompanyState) -> tuple[object, ...]:
    swept = each.swept
    held = swept.held or None
    return (
        each.name,
        each.company,
        each.state,
        swept.repaired,
        held,
        stamp(moment(swept.whole)),
        stamp(moment(swept.due)),
    )


def _json(each: CompanyState) -> dict[str, Any]:
    swept = each.swept
    times = {
        "cursor": swept.cursor,
        "begun_at": swept.begun,
        "swept_at": swept.whole,
        "complete_at": swept.complete,
        "next_at": swept.due,
        "held_at": swept.held_at,
    }
    return {
        "name": each.name,
        "company": each.company,
        "state": each.state,
        "repaired": swept.repaired,
        "deleted": swept.deleted,
        "held": swept.held,
        "held_of": swept.held_of,
        "listed": swept.listed,
        "reported": swept.reported,
        "made": swept.made,
        "unreadable": swept.unreadable,
        "records": each.records,
        "failures": swept.failures,
        "error": swept.error or None,
        **{name: stamp(moment(value)) for name, value in times.items()},
    }
