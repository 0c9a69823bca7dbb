"""`streams`: how full the streams are, and how far each subscription is."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from config.sources import load_settings
from router.cli.command.exits import complain
from router.cli.command.loop import run
from router.cli.command.runtime import opened
from router.cli.options.common import EventGlob
from router.cli.output.results import JsonFlag, fields_of, number_of, print_json, rounded, span_text
from router.cli.output.rows import event_cell
from router.cli.output.table import EVENT, SUBSCRIPTION, Column, TwoForms, print_table
from router.cli.subscriptions.listing import pause_json
from router.events.catalogue import Catalogue
from router.events.globs import fits, select
from router.store.keys import Keys
from workers.operations.operations import Operations
from workers.state.former import former_streams
from workers.state.oldest import Way, oldest_waiting
from workers.state.overview import FIGURES, HEADINGS, StreamOverview, overview
from workers.state.pauses import Pause, paused

__all__ = ["streams"]

_FIGURES = tuple(Column(name, right=True) for name in HEADINGS)
_COLUMNS = (EVENT, Column("LENGTH", right=True), SUBSCRIPTION, *_FIGURES, Column("OLDEST", right=True, drop=1))


def streams(
    glob: EventGlob = "*",
    *,
    everything: Annotated[bool, typer.Option("--all", help="Show idle streams in the table too.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show how full the streams are, and how far each subscription is.

    LAG waits for a worker, IN HAND is held by one, SCHEDULED waits for its next attempt, DEAD was given up, OLDEST is
    how long the oldest that waits or is in hand has been there. A stream with a * is no longer configured: its
    publisher or its event has left the catalogue. `top` shows how fast it goes.
    """
    known = Catalogue.for_settings(load_settings())
    found = run(_overview(known, glob))
    configured = set(known.streams())
    if as_json:
        print_json([_json(found, stream, configured=stream.stream in configured) for stream in found.streams])
        return
    shown = [stream for stream in found.streams if everything or not stream.is_idle]
    rows = [row for stream in shown for row in _rows(found, stream, _cell(known, stream.stream, configured))]
    print_table(_COLUMNS, rows)
    for name, pause in found.pauses.items():
        complain(f"{name} is {pause.text()}")
    if former := [stream.stream for stream in shown if stream.stream not in configured]:
        complain(f"no longer configured: {', '.join(former)}; docs/retention.md says what becomes of them")
    if idle := len(found.streams) - len(shown):
        complain(f"{number_of(idle, 'idle stream')} {'is' if idle == 1 else 'are'} not shown; see --all")


@dataclass(frozen=True, slots=True)
class _Found:
    """The streams, the age of what waits longest by stream and subscription, and the pauses by subscription."""

    keys: Keys
    streams: Sequence[StreamOverview]
    oldest: Mapping[Way, float]
    pauses: Mapping[str, Pause]


async def _overview(known: Catalogue, glob: str) -> _Found:
    async with opened() as operations:
        streams = await _streams(operations, known, glob)
        names = sorted({way.name for stream in streams for way in stream.subscriptions})
        return _Found(
            operations.store.keys,
            streams,
            await oldest_waiting(operations.store, streams),
            await paused(operations.store, names),
        )


async def _streams(operations: Operations, known: Catalogue, glob: str) -> list[StreamOverview]:
    """Look at the selected streams, and at former ones that hold something; raises UnknownStream for neither."""
    former = [stream for stream in await former_streams(operations.store, known) if fits(stream, glob)]
    left = [seen for seen in await overview(operations.store, former) if seen.length or seen.subscriptions]
    if left and not any(fits(stream, glob) for stream in known.streams()):
        return left
    return [*await overview(operations.store, select(known, glob)), *left]


def _cell(known: Catalogue, stream: str, configured: Collection[str]) -> TwoForms:
    return event_cell(known, stream) if stream in configured else TwoForms(f"{stream}*", f"{stream}*")


def _rows(found: _Found, stream: StreamOverview, event: TwoForms) -> Iterator[tuple[object, ...]]:
    if not stream.subscriptions:
        yield (event, stream.length, None, None, None, None, None, None)
    for way in stream.subscriptions:
        seconds = found.oldest.get((stream.stream, way.name))
        oldest = None if seconds is None else span_text(seconds)
        yield (event, stream.length, way.name, *(getattr(way, figure) for figure in FIGURES), oldest)


def _json(found: _Found, stream: StreamOverview, *, configured: bool) -> dict[str, Any]:
    publisher, _, type_ = stream.stream.partition("/")
    return {
        "stream": stream.stream,
        "publisher": publisher,
        "type": type_,
        "key": found.keys.events(stream.stream),
        "configured": configured,
        "length": stream.length,
        "subscriptions": [
            {
                **fields_of(way, "name", *FIGURES),
                "oldest_seconds": rounded(found.oldest.get((stream.stream, way.name)), 3),
                "paused": pause_json(found.pauses.get(way.name)),
            }
            for way in stream.subscriptions
        ],
    }
