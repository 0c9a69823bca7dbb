"""`streams`: how full the streams are, and how far each subscription is."""

from collections.abc import Collection, Iterator
from typing import Annotated, Any

import typer

from config.sources import load_settings
from router.catalogue import Catalogue
from router.cli.catalogue import Glob
from router.cli.exits import complain
from router.cli.loop import run
from router.cli.output import JsonFlag, number_of, print_json
from router.cli.rows import event_cell
from router.cli.runtime import opened
from router.cli.table import EVENT, SUBSCRIPTION, Column, Told, print_table
from router.globs import fits, select
from workers.former import former_streams
from workers.overview import StreamOverview, overview

__all__ = ["streams"]

_FIGURES = tuple(Column(name, right=True) for name in ("LAG", "PENDING", "SCHEDULED", "DEAD"))
_COLUMNS = (EVENT, Column("LENGTH", right=True), SUBSCRIPTION, *_FIGURES)


def streams(
    glob: Glob = "*",
    *,
    everything: Annotated[bool, typer.Option("--all", help="Show idle streams in the table too.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show how full the streams are, and how far each subscription is.

    LAG waits to be handed to a worker, PENDING is in the hands of one, SCHEDULED waits for its next attempt, DEAD was
    given up. A stream with a * is no longer configured: its publisher or its event has left the catalogue.
    """
    known = Catalogue.for_settings(load_settings())
    found = run(_overview(known, glob))
    configured = set(known.streams())
    if as_json:
        print_json([_json(stream, configured=stream.stream in configured) for stream in found])
        return
    shown = [stream for stream in found if everything or not stream.is_idle]
    rows = [row for stream in shown for row in _rows(stream, _cell(known, stream.stream, configured))]
    print_table(_COLUMNS, rows)
    if former := [stream.stream for stream in shown if stream.stream not in configured]:
        complain(f"no longer configured: {', '.join(former)}; docs/retention.md says what becomes of them")
    if len(shown) < len(found):
        idle = len(found) - len(shown)
        complain(f"{number_of(idle, 'idle stream')} {'is' if idle == 1 else 'are'} not shown; see --all")


async def _overview(known: Catalogue, glob: str) -> list[StreamOverview]:
    """Look at the streams that are meant, and at former ones that hold something; raises UnknownStream for neither."""
    async with opened() as session:
        former = [stream for stream in await former_streams(session.store, known) if fits(stream, glob)]
        left = [seen for seen in await overview(session.store, former) if seen.length or seen.subscriptions]
        if left and not any(fits(stream, glob) for stream in known.streams()):
            return left
        return [*await overview(session.store, select(known, glob)), *left]


def _cell(known: Catalogue, stream: str, configured: Collection[str]) -> Told:
    return event_cell(known, stream) if stream in configured else Told(f"{stream}*", f"{stream}*")


def _rows(stream: StreamOverview, event: Told) -> Iterator[tuple[object, ...]]:
    if not stream.subscriptions:
        yield (event, stream.length, None, None, None, None, None)
    for way in stream.subscriptions:
        yield (event, stream.length, way.name, way.lag, way.pending, way.scheduled, way.dead)


def _json(stream: StreamOverview, *, configured: bool) -> dict[str, Any]:
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
        "configured": configured,
        "length": stream.length,
        "subscriptions": ways,
    }
