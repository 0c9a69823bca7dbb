"""`archive list|show`: the objects of the archive, and the events of one."""

from functools import partial
from typing import Annotated, Any

import typer

from router.cli.events.listing import EVENT_COLUMNS, event_row, readable, wanted_events
from router.cli.options.common import EventGlob, Since, Until, taking
from router.cli.output.listing import Listing, Reveal, print_list
from router.cli.output.results import fields_of, stamp
from router.cli.output.rows import event_cell, event_json
from router.cli.output.table import EVENT, Column, rest
from router.events.catalogue import Catalogue
from workers.operations.archive.browser import ArchiveObject
from workers.operations.events import EventFilter

_COLUMNS = (
    Column("DAY"),
    EVENT,
    Column("BYTES", right=True),
    Column("FROM", drop=2),
    rest("NAME"),
)


@taking(listing=Listing)
def list_(glob: EventGlob = "*", *, since: Since = None, until: Until = None, listing: Listing) -> None:
    """List the objects of the archive, newest first: those with events that were accepted in that time."""
    print_list(
        lambda operations: operations.archived(glob, EventFilter(since=since, until=until)),
        _COLUMNS,
        _row,
        _json,
        listing,
    )


@taking(wanted=wanted_events, listing=Listing)
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The object, as `archive list` names it.")],
    *,
    wanted: EventFilter,
    reveal: Reveal = False,
    listing: Listing,
) -> None:
    """List the events of one object, oldest first. In JSON the values of bodies are masked without --reveal."""
    print_list(
        lambda operations: readable(operations.archived_events(name, wanted)),
        EVENT_COLUMNS,
        event_row,
        partial(event_json, reveal=reveal),
        listing,
        revealed=("archive show", {"name": name, **wanted.describe()}) if reveal else None,
    )


def _row(catalogue: Catalogue, found: ArchiveObject) -> tuple[object, ...]:
    where = (found.name.day, event_cell(catalogue, found.name.stream))
    return (*where, found.size, stamp(found.first_at), str(found.name))


def _json(found: ArchiveObject) -> dict[str, Any]:
    publisher, _, type_ = found.name.stream.partition("/")
    head = {"name": str(found.name), "publisher": publisher, "type": type_, "day": found.name.day}
    entries = {"first": found.name.first, "last": found.name.last}
    return {**head, **entries, **fields_of(found, "first_at", "last_at"), "bytes": found.size}
