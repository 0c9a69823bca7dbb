"""`events tail`: events as they come."""

from functools import partial
from typing import Annotated

import typer

from config.sources import load_settings
from router.cli.command.reader import ended_early, follow
from router.cli.events.coming import for_each
from router.cli.events.listing import wanted_events
from router.cli.options.common import EventGlob, taking
from router.cli.output.listing import Reveal, check_reveal, counted
from router.cli.output.results import clean, json_line, print_line, stamp
from router.cli.output.rows import event_json
from router.events.catalogue import Catalogue
from router.events.event import Event
from router.events.globs import select, short
from workers.operations.events import EventFilter
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
    past = _LINES if lines is None and wanted.since is None else lines

    async def work(operations: Operations) -> None:
        async with revealing(operations.store, "events tail", selector, reveal=reveal) as counts:
            json_of = counted(counts, partial(event_json, reveal=reveal))

            def line_of(event: Event) -> str:
                return json_line(json_of(event)) if as_json else _line(operations.catalogue, event)

            async def show(event: Event) -> None:
                print_line(line_of(event))

            early = await ended_early(for_each(operations, streams, wanted, past, show))
        if early is not None:
            raise early

    follow(work)


def _line(catalogue: Catalogue, event: Event) -> str:
    cells = (short(catalogue, event.stream), event.resource, event.company_id, event.action)
    name, resource, company, action = map(clean, cells)
    return f"{stamp(event.received_at)}  {name:<28}  {resource:<24}  {company:<10}  {action:<10}  {clean(event.id)}"
