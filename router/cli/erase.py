"""`erase`: removing everything that is stored of a company or a tenant."""

from collections import Counter
from typing import Annotated

import typer

from router.cli.change import Kind, Order, Reason, Yes, run_change
from router.cli.command.exits import ExitCode, NothingMatched, complain, usage
from router.cli.command.runtime import operate
from router.cli.options.common import Company, taking
from router.cli.output.results import JsonFlag, clean, number_of, print_json, print_line
from router.cli.output.table import Column, print_table
from router.events.whose import Whose
from workers.operations.change import Preview, Result
from workers.operations.erasing.erasure import Erasure
from workers.operations.erasing.found import LEFT, Found
from workers.operations.operations import Operations

Tenant = Annotated[str | None, typer.Option(metavar="ID", help="The tenant in Visma Connect.")]
Publisher = Annotated[str | None, typer.Option(metavar="SLUG", help="Only what this publisher has sent.")]

_KIND: Kind[Found] = Kind(verb="erase", done="erased", noun="item")
_COLUMNS = (Column("PLACE"), Column("ITEMS", right=True))
_WHOSE = (Column("TENANT"), Column("COMPANY"), Column("ITEMS", right=True))


def selected(*, company: Company = None, tenant: Tenant = None, publisher: Publisher = None) -> Whose:
    """Return whose data is selected; ends the command where nobody is named."""
    given = [text.strip() if text is not None else None for text in (company, tenant, publisher)]
    if not (given[0] or given[1]) or "" in given:
        usage("name whose data it is: --company ID, --tenant ID, or both")
    return Whose(*given)


@taking(whose=selected)
def erase(*, whose: Whose, yes: Yes = False, reason: Reason = "", as_json: JsonFlag = False) -> None:
    """Erase everything that is stored of a company or a tenant, in every place; without --yes show how much that is.

    A company is that of all tenants, unless --tenant names one. Workers and ingress go on; what they have in hand of
    it ends. Safe to repeat, and to go on with where it was interrupted. What is received later is stored again.
    """
    if not yes:
        _preview(operate(lambda operations: _look(operations, whose)), whose, as_json=as_json)
        return
    result, places = operate(lambda operations: _run(operations, whose, Order(yes=True, reason=reason)))
    _finish(result, places, as_json=as_json)


async def _look(operations: Operations, whose: Whose) -> Preview[Found]:
    operations.check_publisher(whose.publisher)
    change = operations.erase(whose)
    seen = await change.preview(0)
    for name, why in change.unreachable.items():
        complain(f"without the {name}: {why}")
    if not seen.number:
        raise NothingMatched(
            "nothing is stored of it; --yes makes sure that no copy is left of what was removed before"
        )
    return seen


async def _run(operations: Operations, whose: Whose, order: Order) -> tuple[Result, Counter[str]]:
    operations.check_publisher(whose.publisher)
    change: Erasure = operations.erase(whose)
    seen = await change.preview(0)
    return await run_change(order, _KIND, change, seen.number), seen.kinds


def _preview(seen: Preview[Found], whose: Whose, *, as_json: bool) -> None:
    owners = sorted(seen.owners.items())
    if as_json:
        rows = [{"tenant": tenant, "company": company, "items": number} for (tenant, company), number in owners]
        print_json({"matched": seen.number, "places": dict(seen.kinds), "owners": rows})
        return
    print_table(_COLUMNS, [*seen.kinds.items()])
    print_line("")
    print_table(_WHOSE, [(tenant or "?", company or "?", number) for (tenant, company), number in owners])
    narrow = (
        "; --tenant narrows it to one"
        if whose.tenant is None and len({tenant for (tenant, _), _ in owners}) > 1
        else ""
    )
    complain(f"add --yes to erase {'it' if seen.number == 1 else f'these {seen.number}'}{narrow}")


def _finish(result: Result, places: Counter[str], *, as_json: bool) -> None:
    if as_json:
        counts = {"matched": result.matched, "erased": result.changed, "failed": result.failed}
        print_json({**counts, "left": result.counts[LEFT], "places": dict(places)})
    else:
        print_line(f"erased {number_of(result.changed, 'item')}")
    if result.failed:
        complain(f"{result.failed} could not be erased: {clean(result.refusal) or 'see above'}; repeating is safe")
        raise typer.Exit(ExitCode.PARTLY_FAILED)
