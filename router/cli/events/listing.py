"""`events list`: what was received; and how a single event is found."""

from collections.abc import AsyncIterator
from functools import partial

from router.cli.command.exits import complain
from router.cli.options.common import Company, EventGlob, Resource, Since, Until, taking
from router.cli.output.listing import Listing, Reveal, print_list
from router.cli.output.results import age, stamp
from router.cli.output.rows import event_cell, event_json
from router.cli.output.table import EVENT, Column, TwoForms, ident
from router.events.catalogue import Catalogue
from router.events.event import Event
from workers.operations.events import EventFilter, StoredEvent

EVENT_COLUMNS = (
    Column("TIME", drawn="AGE", right=True),
    EVENT,
    Column("RESOURCE", shrink=((5, 20), (9, 14)), cut="middle"),
    Column("COMPANY", drop=6),
    Column("ACTION", drop=1),  # it is the end of the event's name
    ident("ID"),
)


def wanted_events(
    resource: Resource = None, company: Company = None, since: Since = None, until: Until = None
) -> EventFilter:
    """Declare the options that select events, and make of what is given the filter."""
    return EventFilter(resource, company, since, until)


@taking(wanted=wanted_events, listing=Listing)
def list_(glob: EventGlob = "*", *, wanted: EventFilter, reveal: Reveal = False, listing: Listing) -> None:
    """List events, newest first. In JSON the values of bodies are masked without --reveal."""
    print_list(
        lambda operations: readable(operations.events(glob, wanted)),
        EVENT_COLUMNS,
        event_row,
        partial(event_json, reveal=reveal),
        listing,
        revealed=("events list", {"glob": glob, **wanted.describe()}) if reveal else None,
    )


async def readable(stored: AsyncIterator[StoredEvent]) -> AsyncIterator[Event]:
    """Yield the events, and complain of entries that are none."""
    async for entry in stored:
        if entry.event is None:
            complain(f"entry {entry.entry_id} of {entry.stream} is no event: it was not written by an ingress")
        else:
            yield entry.event


def event_row(catalogue: Catalogue, event: Event) -> tuple[object, ...]:
    """Return the cells of EVENT_COLUMNS."""
    moment = event.occurred_at or event.received_at
    time, name = TwoForms(stamp(moment), age(moment)), event_cell(catalogue, event.stream)
    return (time, name, event.resource, event.company_id, event.action, event.id)
