"""The events: what was received, and what became of one."""

from collections.abc import AsyncIterator, Mapping
from functools import partial
from urllib.parse import urlencode

from config.errors import RouterError
from router.console.forms import moment_in, streams_in
from router.console.page import Page, command, go
from router.console.paging import Cursor, list_page, search
from router.events.globs import short
from router.events.redact import redacted, redacted_fields, redacted_hints
from router.http.response import Response
from router.tasks.ending import in_time
from workers.operations.events import EventFilter, StoredEvent

_FIELDS = ("event", "resource", "company", "since", "until")
_PATIENCE = 5.0  # seconds for the search of an event

_HIDDEN = ("id", "publisher", "type", "extra", "hints", "raw", "received_at")
"""What is shown in a place of its own, or only with the body."""


async def list_(page: Page) -> Response:
    """List events, newest first; or go to the one whose id was asked for."""
    catalogue = page.console.catalogue
    if id_ := page.request.query.get("id", "").strip():
        return go("/event", id=id_)

    def find(typed: Mapping[str, str], cursor: Cursor) -> AsyncIterator[StoredEvent]:
        streams = streams_in(typed.get("event", "*"), catalogue)
        until = cursor.within(moment_in(typed, "until"))
        wanted = EventFilter(typed.get("resource"), typed.get("company"), moment_in(typed, "since"), until)
        return page.console.operations.browser.newest(streams, wanted)

    found = await search(page, _FIELDS, find, lambda stored: stored.entry_id)
    return list_page(page, "events.html", found, type_of=partial(short, catalogue))


async def show(page: Page) -> Response:
    """Show one event and where it is for each subscription, the body masked unless it is to be revealed."""
    stored, console = await _find(page), page.console
    if stored is None or (event := stored.event) is None:
        return _missing(page)
    raw = await page.revealed(event.raw, f"event {event.id} of {stored.stream}")
    facts = {name: getattr(event, name) for name in type(event).model_fields if name not in _HIDDEN}
    facts = facts if raw else redacted_fields(facts)
    return page.answer(
        "event.html",
        event=event,
        stream=stored.stream,
        type_name=short(console.catalogue, stored.stream),
        life=await console.operations.life(stored),
        facts=[(name.replace("_", " "), value) for name, value in facts.items() if value is not None],
        extra=sorted(event.extra),
        hints=event.hints if raw else redacted_hints(event.hints),
        url=f"/event?{urlencode({'id': event.id})}",
        letter_query=lambda place: urlencode(
            {"id": place.dead_entry_id, "stream": stored.stream, "subscription": place.subscription}
        ),
        raw=raw,
        masked=redacted(event.raw),
    )


async def _find(page: Page) -> StoredEvent | None:
    id_ = page.request.query.get("id", "")
    if not id_:
        return None
    try:
        return await in_time(_PATIENCE, page.console.operations.event(id_))
    except TimeoutError:
        shown = command("events", "show", id_)
        raise RouterError(f"the search for event {id_} took over {_PATIENCE:g} s and was ended: `{shown}`") from None


def _missing(page: Page) -> Response:
    id_, archive = page.request.query.get("id", ""), page.console.operations.settings.archive
    if not id_:
        text, do = "The address names no event.", "Choose one from the list, or write its id into the filter."
        return page.problem("Not found", text, status=404, do=do, command=command("events", "list"), back="/events")
    text = f"There is no event {id_}. One that all subscriptions have done is removed once it is old enough."
    do = "See that the id is whole; what could not be read is no event, but in the quarantine."
    shown = command("quarantine", "list", "--since", "7d")
    if archive.to:
        do, shown = "See that the id is whole; an older event is in the archive.", command("archive", "list")
    return page.problem("Not found", text, status=404, do=do, command=shown, back="/events")
