"""`schema list|show`: which fields the notifications of each type have, and what has changed."""

from typing import Annotated, Any

import typer

from router.cli.command.exits import NothingMatched, complain
from router.cli.command.runtime import operate
from router.cli.options.common import EventGlob
from router.cli.output.results import JsonFlag, fields_of, print_json, print_line, stamp
from router.cli.output.rows import event_cell
from router.cli.output.table import EVENT, Column, print_table, rest
from router.events.globs import select
from router.store.reading import moment_at
from workers.drift.kept import Report
from workers.drift.seen import FieldSeen, TypeSeen
from workers.operations.operations import Operations

_TYPES = (EVENT, *(Column(name, right=True) for name in ("EVENTS", "FIELDS", "CHANGES")), rest("LAST CHANGE"))
_FIELDS = (
    Column("FIELD", shrink=((4, 24),), cut="middle"),
    Column("TYPE"),
    Column("SHARE", right=True),
    rest("STATE"),
)


def list_(glob: EventGlob = "*", *, as_json: JsonFlag = False) -> None:
    """List the types of which fields were learnt, with what has changed in them lately.

    EVENTS is how many notifications were looked at, CHANGES how many changes last: a field that is new or has another
    type is one for a day, one that is missing until it is back.
    """
    operations, found = operate(_look)
    wanted = {*select(operations.catalogue, glob)}
    shown = [one for one in found if one.stream in wanted]
    if as_json:
        print_json([_type_json(one) for one in shown])
        return
    rows = [
        (event_cell(operations.catalogue, one.stream), one.events, len(one.fields), len(one.lasting), _last(one))
        for one in shown
    ]
    print_table(_TYPES, rows)
    if not shown:
        complain("nothing was learnt yet: a worker does, while drift.enabled is set")


def show(
    name: Annotated[str, typer.Argument(metavar="PUBLISHER/TYPE", help="The type, or a glob that means one.")],
    *,
    as_json: JsonFlag = False,
) -> None:
    """Show the fields of one type: the types of their values, and how often they are there.

    SHARE is of all notifications since the field was first seen. What has changed lately comes below, with a sample
    whose values are masked.
    """
    operations, found = operate(_look)
    wanted = {*select(operations.catalogue, name)}
    shown = [one for one in found if one.stream in wanted]
    if len(shown) != 1:
        hint = f"{len(shown)} types match" if shown else "nothing was learnt of"
        raise NothingMatched(f"{hint} {name!r}; `event-router schema list` shows all")
    if as_json:
        fields = [_field_json(field) for field in shown[0].fields]
        print_json({**_type_json(shown[0]), "fields": fields, "reports": [*map(_report_json, shown[0].reports)]})
        return
    print_table(_FIELDS, [_row(field) for field in shown[0].fields])
    if not shown[0].is_learnt:
        complain(f"{shown[0].events} events were seen: too few to say what changes")
    for report in shown[0].reports:
        _print(shown[0].stream, report)


async def _look(operations: Operations) -> tuple[Operations, list[TypeSeen]]:
    return operations, await operations.schemas()


def _last(one: TypeSeen) -> str | None:
    return f"{stamp(moment_at(one.reports[-1].at))} {one.reports[-1].what}" if one.reports else None


def _row(field: FieldSeen) -> tuple[object, ...]:
    return (field.path, ", ".join(field.types), f"{field.share:.1%}", field.state)


def _print(stream: str, report: Report) -> None:
    until = "" if report.over is None else f", until {stamp(moment_at(report.over))}"
    print_line(f"\n{stamp(moment_at(report.at))}{until}: {stream} {report.what}; event {report.event_id}")
    print_line(report.sample)


def _type_json(one: TypeSeen) -> dict[str, Any]:
    publisher, _, type_ = one.stream.partition("/")
    return {
        "stream": one.stream,
        "publisher": publisher,
        "type": type_,
        **fields_of(one, "events", "is_learnt"),
        "fields": len(one.fields),
        "left_out": one.left_out,
        "changes": [_report_json(report) for report in one.lasting],
    }


def _field_json(field: FieldSeen) -> dict[str, Any]:
    return {"field": field.path, "types": [*field.types], "share": round(field.share, 4), "state": field.state}


def _report_json(report: Report) -> dict[str, Any]:
    return {
        "change": report.kind,
        "field": report.path,
        "type": report.type or None,
        "was": [*report.was],
        "at": stamp(moment_at(report.at)),
        "over": None if report.over is None else stamp(moment_at(report.over)),
        "event_id": report.event_id,
        "sample": report.sample,
    }
