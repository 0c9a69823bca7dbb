"""`events list|show`: what was received."""

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Annotated

import typer

from config.sources import load_settings
from router.browse import SEARCHED, Browser, EventFilter, StoredEvent
from router.catalogue import Catalogue
from router.cli.exits import NothingMatched, complain
from router.cli.listing import Limit, print_list
from router.cli.loop import run
from router.cli.output import JsonFlag, age, print_json, print_record, stamp
from router.cli.rows import event_cell, event_json
from router.cli.runtime import opened
from router.cli.selecting import Since, Until
from router.cli.table import EVENT, Column, Told, ident
from router.event import Event
from router.globs import select
from router.shortened import SHORTENED, is_short_for

__all__ = ["app"]

_COLUMNS = (
    Column("TIME", drawn="AGE", right=True),
    EVENT,
    Column("RESOURCE", shrink=((5, 20), (9, 14)), cut="middle"),
    Column("COMPANY", drop=6),
    Column("ACTION", drop=1),  # it is the end of the event's name
    ident("ID"),
)

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The events that were received.")


@app.command("list")
def list_(
    glob: Annotated[str, typer.Argument(metavar="[GLOB]", help="PUBLISHER/TYPE, or TYPE of any publisher.")] = "*",
    *,
    resource: Annotated[str | None, typer.Option(metavar="GLOB", help="Such as customer/*.")] = None,
    company: Annotated[str | None, typer.Option(metavar="ID", help="The company in the ERP.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    as_json: JsonFlag = False,
) -> None:
    """List events, newest first."""
    wanted = EventFilter(resource, company, since, until)
    streams = select(Catalogue.for_settings(load_settings()), glob)
    run(_list(streams, wanted, limit, as_json=as_json))


async def _list(streams: Sequence[str], wanted: EventFilter, limit: int | None, *, as_json: bool) -> None:
    async with opened() as session:
        events = _readable(Browser(session.store, session.catalogue).newest(streams, wanted))
        row_of = partial(_row, session.catalogue)
        await print_list(events, _COLUMNS, row_of, event_json, limit=limit, as_json=as_json)


async def _readable(stored: AsyncIterator[StoredEvent]) -> AsyncIterator[Event]:
    async for entry in stored:
        if entry.event is None:
            complain(f"entry {entry.entry_id} of {entry.stream} is no event: it was not written by an ingress")
        else:
            yield entry.event


def _row(catalogue: Catalogue, event: Event) -> tuple[object, ...]:
    moment = event.occurred_at or event.received_at
    time, name = Told(stamp(moment), age(moment)), event_cell(catalogue, event.stream)
    return (time, name, event.resource, event.company_id, event.action, event.id)


@app.command()
def show(id_: Annotated[str, typer.Argument(metavar="ID", help="Of the event.")], *, as_json: JsonFlag = False) -> None:
    """Show one event."""
    event = run(_find(id_))
    if as_json:
        print_json(event_json(event))
    else:
        print_record({"stream": event.stream, **event_json(event)})


async def _find(id_: str) -> Event:
    async with opened() as session:
        browser = Browser(session.store, session.catalogue)
        found = await (_search(browser, session.catalogue, id_) if SHORTENED in id_ else browser.find(id_))
    if found is None or found.event is None:
        raise NothingMatched(f"no event {id_!r} was found; `event-router events list` shows the newest")
    return found.event


async def _search(browser: Browser, catalogue: Catalogue, shortened: str) -> StoredEvent | None:
    """Return the newest event whose id a table shows so; it is searched for among as many as an id without a marker."""
    searched = 0
    async for found in browser.newest(catalogue.streams(), EventFilter()):
        if found.event is not None and is_short_for(shortened.lower(), found.event.id):
            return found
        searched += 1
        if searched == SEARCHED:
            break
    return None
