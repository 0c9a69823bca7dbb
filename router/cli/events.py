"""`events list|show`: what was received."""

from collections.abc import AsyncIterator
from typing import Annotated

import typer

from router.browse import Browser, EventFilter, StoredEvent
from router.cli.exits import NothingMatched, complain
from router.cli.listing import Limit, print_list
from router.cli.output import JsonFlag, print_json, print_record, stamp
from router.cli.rows import event_json
from router.cli.runtime import for_reading, opened, run
from router.cli.selecting import Since, Until, select_streams
from router.event import Event

__all__ = ["app"]

_COLUMNS = ("TIME", "EVENT", "RESOURCE", "COMPANY", "ACTION", "ID")

app = typer.Typer(no_args_is_help=True, help="The events that were received.")


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
    run(_list(glob, wanted, limit, as_json=as_json))


async def _list(glob: str, wanted: EventFilter, limit: int | None, *, as_json: bool) -> None:
    async with opened(for_reading()) as session:
        streams = select_streams(session.catalogue, glob)
        events = _readable(Browser(session.store, session.catalogue).newest(streams, wanted))
        await print_list(events, _COLUMNS, _row, event_json, limit=limit, as_json=as_json)


async def _readable(stored: AsyncIterator[StoredEvent]) -> AsyncIterator[Event]:
    async for entry in stored:
        if entry.event is None:
            complain(f"entry {entry.entry_id} of {entry.stream} is no event: it was not written by an ingress")
        else:
            yield entry.event


def _row(event: Event) -> tuple[object, ...]:
    time = stamp(event.occurred_at or event.received_at)
    return (time, event.stream, event.resource, event.company_id, event.action, event.id)


@app.command()
def show(id_: Annotated[str, typer.Argument(metavar="ID", help="Of the event.")], *, as_json: JsonFlag = False) -> None:
    """Show one event."""
    event = run(_find(id_))
    if as_json:
        print_json(event_json(event))
    else:
        print_record({"stream": event.stream, **event_json(event)})


async def _find(id_: str) -> Event:
    async with opened(for_reading()) as session:
        found = await Browser(session.store, session.catalogue).find(id_)
    if found is None or found.event is None:
        raise NothingMatched(f"no event {id_!r} was found; `event-router events list` shows the newest")
    return found.event
