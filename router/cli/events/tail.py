"""`events tail`: events as they come."""

import contextlib
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import typer

from config.sources import load_settings
from router.cli.command.reader import follow, while_read
from router.cli.command.runtime import say_away
from router.cli.events.listing import readable, wanted_events
from router.cli.options.common import EventGlob, taking
from router.cli.output.listing import Reveal, check_reveal, counted
from router.cli.output.results import clean, json_line, print_line, stamp
from router.cli.output.rows import event_json
from router.events.catalogue import Catalogue
from router.events.event import Event
from router.events.globs import select, short
from router.store.following import Following
from router.store.reading import Span, moment_of, order_of
from router.tasks.ending import in_time
from router.tasks.iterating import first
from workers.operations.criteria import within
from workers.operations.events import Browser, EventFilter, StoredEvent
from workers.operations.operations import Operations
from workers.operations.reveal import revealing

_LINES = 10

Lines = Annotated[
    int | None,
    typer.Option("--lines", "-n", min=0, help=f"Begin with so many past ones; {_LINES}, or with --since all."),
]
AsLines = Annotated[bool, typer.Option("--json", help="Print a line of JSON for each event.")]


@taking(wanted=wanted_events)
def tail(
    glob: EventGlob = "*",
    *,
    wanted: EventFilter,
    lines: Lines = None,
    reveal: Reveal = False,
    as_json: AsLines = False,
) -> None:
    """Show the last events, and those that come, until Ctrl-C or the time of --until; oldest first.

    In JSON the values of bodies are masked without --reveal. It goes on by itself when the store was away, and misses
    nothing that is still in the streams. It ends when the reader of its pipe has gone.
    """
    check_reveal(reveal=reveal, as_json=as_json)
    streams = select(Catalogue.for_settings(load_settings()), glob)
    selector = {"glob": glob, **wanted.describe()}

    async def show(operations: Operations) -> None:
        async with revealing(operations.store, "events tail", selector, reveal=reveal) as counts:
            json_of = counted(counts, partial(event_json, reveal=reveal))

            def line_of(event: Event) -> str:
                return json_line(json_of(event)) if as_json else _line(operations.catalogue, event)

            after = await operations.browser.last_entries(streams)
            await _print(_past(operations.browser, after, wanted, lines), line_of)
            new = while_read(_print(_new(operations, after, wanted), line_of))
            if wanted.until is None:
                await new
            else:
                with contextlib.suppress(TimeoutError):
                    await in_time((wanted.until - datetime.now(UTC)).total_seconds(), new)

    follow(show)


async def _print(found: AsyncGenerator[StoredEvent, None], line_of: Callable[[Event], str]) -> None:
    async with contextlib.aclosing(found):
        async for event in readable(found):
            print_line(line_of(event))


async def _past(
    browser: Browser, after: dict[str, str], wanted: EventFilter, lines: int | None
) -> AsyncGenerator[StoredEvent, None]:
    """Yield what is there already, oldest first: the last few, or all from a time on."""
    if lines is None and wanted.since is not None:
        begin = wanted.span()
        spans = {stream: Span(begin.first, last) for stream, last in after.items() if last != "0-0"}
        async for stored in browser.oldest(spans, wanted):
            if _in_time(wanted, stored):
                yield stored
        return
    if (number := _LINES if lines is None else lines) == 0:
        return
    past = {stream: order_of(last) for stream, last in after.items()}
    found = browser.newest(list(after), wanted)
    newest = (stored async for stored in found if order_of(stored.entry_id) <= past[stored.stream])
    for stored in reversed([stored async for stored in first(newest, number)]):
        yield stored


async def _new(operations: Operations, after: dict[str, str], wanted: EventFilter) -> AsyncGenerator[StoredEvent, None]:
    """Yield the events that come, after these entries of their streams."""
    streams = {operations.store.keys.events(stream): stream for stream in after}
    following = Following(operations.store, say_away)
    try:
        following.add({key: after[stream] for key, stream in streams.items()})
        async for key, (entry_id, fields) in following.entries():
            stored = operations.browser.read(streams[key], entry_id, fields)
            if wanted.matches(stored.event) and _in_time(wanted, stored):
                yield stored
    finally:
        await following.aclose()


def _in_time(wanted: EventFilter, stored: StoredEvent) -> bool:
    return within(moment_of(stored.entry_id), wanted.since, wanted.until)


def _line(catalogue: Catalogue, event: Event) -> str:
    cells = (short(catalogue, event.stream), event.resource, event.company_id, event.action)
    name, resource, company, action = map(clean, cells)
    return f"{stamp(event.received_at)}  {name:<28}  {resource:<24}  {company:<10}  {action:<10}  {clean(event.id)}"
