"""`incidents list`: what goes wrong now, what did, and what nobody wants to hear of."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from router.cli.command.exits import complain
from router.cli.command.runtime import operate
from router.cli.output.results import JsonFlag, age, print_json, stamp
from router.cli.output.table import Column, print_table, rest
from router.store.reading import moment_at
from workers.incidents import Incident, Muted
from workers.operations.operations import Operations

_COLUMNS = (Column("KIND"), Column("SUBJECT", shrink=((8, 40),), cut="middle"), Column("SINCE"))
_LAST = (*_COLUMNS, rest("WHAT"))
_PAST = (*_COLUMNS, Column("OVER"), rest("WHAT"))
_MUTED = (Column("KIND"), Column("SUBJECT"), rest("UNTIL"))


def list_(
    *,
    past: Annotated[int, typer.Option("--past", min=0, metavar="N", help="The last N notices instead.")] = 0,
    muted: Annotated[bool, typer.Option("--muted", help="What is muted instead.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """List the incidents that last: silence, requests refused, idle subscriptions, dead letters, quotas, spools.

    Each is said once when it begins and once when it is over. `event-router incidents list --json` has for each what
    to do, and the command for it.
    """
    if muted:
        _list_muted(operate(Operations.muted), as_json=as_json)
        return
    found = operate(lambda operations: operations.notices(past)) if past else operate(Operations.incidents)
    if as_json:
        print_json([incident_json(one) for one in found])
        return
    print_table(_PAST if past else _LAST, [_row(one, past=bool(past)) for one in found])
    if not found:
        complain("nothing was said so far" if past else "there is no incident")
    elif not past:
        _advise(found)


def incident_json(one: Incident) -> dict[str, Any]:
    """Return an incident as JSON has it."""
    return {
        "kind": one.kind,
        "subject": one.subject,
        "since": stamp(moment_at(one.since)),
        "over": None if one.over is None else stamp(moment_at(one.over)),
        "what": one.what,
        "do": one.do,
        "command": one.command,
    }


def _row(one: Incident, *, past: bool) -> tuple[object, ...]:
    over = (None if one.over is None else age(moment_at(one.over)),) if past else ()
    return (one.kind, one.subject, age(moment_at(one.since)), *over, one.what)


def _advise(found: Sequence[Incident]) -> None:
    """Say what to do, once for each kind."""
    for one in {incident.kind: incident for incident in reversed(found)}.values():
        complain(f"{one.kind}: {one.do} `{one.command}`")


def _list_muted(found: Sequence[Muted], *, as_json: bool) -> None:
    rows = [(one.kind, one.subject, stamp(moment_at(one.until)) if one.until else None) for one in found]
    if as_json:
        print_json([{"kind": kind, "subject": subject, "until": until} for kind, subject, until in rows])
        return
    print_table(_MUTED, [(kind, subject, until or "unmuted") for kind, subject, until in rows])
    if not rows:
        complain("nothing is muted")
