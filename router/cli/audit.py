"""`audit`: who changed what in the store, and why."""

from typing import Annotated, Any

import typer

from router.cli.options.common import Since, Until, taking
from router.cli.output.listing import Listing, print_list
from router.cli.output.results import age, fields_of, stamp
from router.cli.output.table import Column, TwoForms, rest
from router.events.catalogue import Catalogue
from workers.operations.audit import AuditLine

_COLUMNS = (
    Column("TIME", drawn="AGE", right=True),
    Column("ACTOR", shrink=((5, 12),), cut="middle", drop=6),
    Column("VERB"),
    Column("WHAT", shrink=((4, 30), (7, 16))),
    *(Column(name, right=True, drop=drop) for name, drop in (("MATCHED", 2), ("CHANGED", 0), ("FAILED", 1))),
    rest("WHY"),
)
_UNFINISHED = "not finished: under way, or killed"


@taking(listing=Listing)
def audit(
    *,
    verb: Annotated[str | None, typer.Option(metavar="GLOB", help="Such as 'dlq *' or reveal.")] = None,
    actor: Annotated[str | None, typer.Option(metavar="TEXT", help="Part of who it was.")] = None,
    since: Since = None,
    until: Until = None,
    listing: Listing,
) -> None:
    """List who changed what in the store, or looked at what is hidden otherwise; newest first.

    What was begun and has no end, because it is under way or its process was killed, is said to be not finished.
    """
    print_list(
        lambda operations: operations.audit(verb=verb, actor=actor, since=since, until=until),
        _COLUMNS,
        _row,
        _json,
        listing,
    )


def _row(_catalogue: Catalogue, line: AuditLine) -> tuple[object, ...]:
    why = "; ".join(filter(None, (line.reason, line.error, "" if line.finished else _UNFINISHED)))
    time = TwoForms(stamp(line.at), age(line.at))
    done = (line.changed, line.failed) if line.finished else (None, None)
    return (time, line.actor, line.verb, _what(line), line.matched, *done, why)


def _what(line: AuditLine) -> str:
    """Return what it was done to, in a line: the options as they were given."""
    given = [f"{name}={','.join(map(str, v)) if isinstance(v, list) else v}" for name, v in line.selector.items()]
    return " ".join(filter(None, (line.subject, *given)))


def _json(line: AuditLine) -> dict[str, Any]:
    what = fields_of(line, "id", "at", "verb", "actor", "subject", "selector", "matched")
    done = fields_of(line, "changed", "failed") if line.finished else {"changed": None, "failed": None}
    return {**what, **done, **fields_of(line, "finished", "reason"), "error": line.error or None}
