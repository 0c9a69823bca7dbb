"""`catalogue` and `streams`: which events there are, and how full their streams are."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from config.publishers import EventType
from router.cli.exits import complain
from router.cli.output import JsonFlag, print_json, print_table
from router.cli.runtime import for_reading, opened, run
from router.cli.selecting import select_streams
from router.service import load_catalogue
from workers.overview import StreamOverview, overview

__all__ = ["catalogue", "streams"]

Glob = Annotated[str, typer.Argument(metavar="[GLOB]", help="PUBLISHER/TYPE, or TYPE of any publisher.")]


def catalogue(glob: Glob = "*", *, as_json: JsonFlag = False) -> None:
    """List the event types: what a worker can subscribe to."""
    known = load_catalogue(for_reading())
    pairs = (stream.split("/", 1) for stream in select_streams(known, glob))
    rows = [(slug, event) for slug, type_ in pairs if (event := known.event_type(slug, type_))]
    if as_json:
        print_json([{"publisher": slug, **event.model_dump(mode="json")} for slug, event in rows])
    else:
        lines = [(f"{slug}/{event.type}", event.description, "; ".join(_notes(event))) for slug, event in rows]
        print_table(("EVENT", "DESCRIPTION", "NOTE"), lines)


def _notes(event: EventType) -> Iterator[str]:
    if event.aliases:
        yield f"also {', '.join(event.aliases)}"
    if event.end_of_life:
        yield f"end of life: {event.end_of_life}"
    if event.replaced_by:
        yield f"use {', '.join(event.replaced_by)}"


def streams(
    glob: Glob = "*",
    *,
    everything: Annotated[bool, typer.Option("--all", help="Show idle streams in the table too.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show how full the streams are, and how far each subscription is.

    LAG waits to be handed to a worker, PENDING is in the hands of one, SCHEDULED waits for its next attempt, DEAD was
    given up.
    """
    found = run(_overview(glob))
    if as_json:
        print_json([_json(stream) for stream in found])
        return
    shown = [stream for stream in found if everything or not stream.is_idle]
    columns = ("EVENT", "LENGTH", "SUBSCRIPTION", "LAG", "PENDING", "SCHEDULED", "DEAD")
    print_table(columns, [row for stream in shown for row in _rows(stream)])
    if len(shown) < len(found):
        complain(f"{len(found) - len(shown)} idle streams are not shown; see --all")


async def _overview(glob: str) -> list[StreamOverview]:
    async with opened(for_reading()) as session:
        return await overview(session.store, select_streams(session.catalogue, glob))


def _rows(stream: StreamOverview) -> Iterator[tuple[object, ...]]:
    if not stream.subscriptions:
        yield (stream.stream, stream.length, None, None, None, None, None)
    for way in stream.subscriptions:
        yield (stream.stream, stream.length, way.name, way.lag, way.pending, way.scheduled, way.dead)


def _json(stream: StreamOverview) -> dict[str, Any]:
    publisher, _, type_ = stream.stream.partition("/")
    ways = [
        {
            "name": way.name,
            "lag": way.lag,
            "pending": way.pending,
            "scheduled": way.scheduled,
            "dead": way.dead,
        }
        for way in stream.subscriptions
    ]
    return {
        "stream": stream.stream,
        "publisher": publisher,
        "type": type_,
        "length": stream.length,
        "subscriptions": ways,
    }
