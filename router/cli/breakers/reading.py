"""`breakers list|show`: which targets are down, and for how long."""

from typing import Annotated, Any

import typer

from router.cli.command.exits import NothingMatched, complain
from router.cli.command.runtime import operate
from router.cli.output.results import JsonFlag, fields_of, print_json, print_record, stamp
from router.cli.output.table import Column, print_table, rest
from workers.operations.operations import Operations
from workers.state.breakers import BreakerState

_COLUMNS = (
    Column("BREAKER"),
    Column("STATE"),
    Column("SINCE"),
    Column("FAILURES", right=True),
    Column("NEXT PROBE"),
    rest("LAST FAILURE"),
)


def list_(*, as_json: JsonFlag = False) -> None:
    """List the breakers that workers share.

    FAILURES are those in a row; while a breaker is open, one call goes as a probe from NEXT PROBE on, and events wait.
    """
    found = operate(Operations.breakers)
    if as_json:
        print_json([_json(breaker) for breaker in found])
        return
    print_table(_COLUMNS, [_row(breaker) for breaker in found])
    if not found:
        complain("there is no breaker: no handler has used one yet")


def show(
    name: Annotated[str, typer.Argument(metavar="BREAKER", help="As `breakers list` shows it.")],
    *,
    as_json: JsonFlag = False,
) -> None:
    """Show one breaker: whether its target is down, since when and why, and when the next probe goes."""
    found = next((breaker for breaker in operate(Operations.breakers) if breaker.name == name), None)
    if found is None:
        raise NothingMatched(f"there is no breaker {name!r}; `event-router breakers list` shows all")
    (print_json if as_json else print_record)(_json(found))


def _row(breaker: BreakerState) -> tuple[object, ...]:
    times = (stamp(breaker.since), breaker.failures, stamp(breaker.probe_at))
    return (breaker.name, breaker.state, *times, breaker.reason)


def _json(breaker: BreakerState) -> dict[str, Any]:
    return fields_of(breaker, "name", "state", "since", "failures", "failed_at", "reason", "probe_at")
