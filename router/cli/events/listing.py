"""`events list`: what was received; and how a single event is found."""

from collections.abc import AsyncIterator, Sequence
from functools import partial

from router.cli.command.exits import complain
from router.cli.command.loop import run
from router.cli.command.runtime import Session, opened
from router.cli.options.common import Since, Until
from router.cli.options.events import Company, EventGlob, Resource, wanted_streams
from router.cli.output.listing import Limit, print_list
from router.cli.output.results import JsonFlag, age, stamp
from router.cli.output.reveal import Reveal, check_reveal, counted, revealing
from router.cli.output.rows import event_cell, event_json
from router.cli.output.table import EVENT, Column, TwoForms, ident
from router.events.catalogue import Catalogue
from router.events.event import Event
from workers.operations.events import SEARCHED, Browser, EventFilter, StoredEvent
from workers.operations.shortened import is_short_for, is_shortened

__all__ = ["EVENT_COLUMNS", "complain_of", "event_row", "find", "list_", "readable"]

EVENT_COLUMNS = (
    Column("TIME", drawn="AGE", right=True),
    EVENT,
    Column("RESOURCE", shrink=((5, 20), (9, 14)), cut="middle"),
    Column("COMPANY", drop=6),
    Column("ACTION", drop=1),  # it is the end of the event's name
    ident("ID"),
)


def list_(
    glob: EventGlob = "*",
    *,
    resource: Resource = None,
    company: Company = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    reveal: Reveal = False,
    as_json: JsonFlag = False,
) -> None:
    """List events, newest first. In JSON the values of bodies are masked without --reveal."""
    check_reveal(reveal=reveal, as_json=as_json)
    wanted = EventFilter(resource, company, since, until)
    run(_list(glob, wanted_streams(glob), wanted, limit, reveal=reveal, as_json=as_json))


async def _list(
    glob: str, streams: Sequence[str], wanted: EventFilter, limit: int | None, *, reveal: bool, as_json: bool
) -> None:
    async with opened() as session:
        events = readable(Browser(session.store, session.catalogue).newest(streams, wanted))
        row_of, selector = partial(event_row, session.catalogue), {"glob": glob, **wanted.describe()}
        async with revealing(session.store, "events list", selector, reveal=reveal) as counts:
            json_of = counted(counts, partial(event_json, reveal=reveal))
            await print_list(events, EVENT_COLUMNS, row_of, json_of, limit=limit, as_json=as_json)


async def readable(stored: AsyncIterator[StoredEvent]) -> AsyncIterator[Event]:
    """Yield the events; complain of entries that are none."""
    async for entry in stored:
        if entry.event is None:
            complain_of(entry)
        else:
            yield entry.event


def complain_of(entry: StoredEvent) -> None:
    """Say that an entry is no event."""
    complain(f"entry {entry.entry_id} of {entry.stream} is no event: it was not written by an ingress")


def event_row(catalogue: Catalogue, event: Event) -> tuple[object, ...]:
    """Return the cells of EVENT_COLUMNS."""
    moment = event.occurred_at or event.received_at
    time, name = TwoForms(stamp(moment), age(moment)), event_cell(catalogue, event.stream)
    return (time, name, event.resource, event.company_id, event.action, event.id)


async def find(session: Session, id_: str) -> StoredEvent | None:
    """Return the newest event of an id, which may be shortened as a narrow table does it."""
    browser = Browser(session.store, session.catalogue)
    return await (_search(browser, session.catalogue, id_) if is_shortened(id_) else browser.find(id_))


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
