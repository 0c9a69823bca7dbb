"""`streams`: how full the streams are, and how far each subscription is."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from router.cli.command.exits import complain
from router.cli.command.runtime import operate
from router.cli.options.common import EventGlob
from router.cli.output.results import JsonFlag, clean, fields_of, number_of, print_json, rounded, span_text
from router.cli.output.rows import event_cell
from router.cli.output.table import EVENT, SUBSCRIPTION, Column, TwoForms, print_table
from router.cli.output.waiting import companies_json, pause_json, pauses_text
from router.events.catalogue import Catalogue
from router.events.globs import fits, select
from router.store.keys import Keys
from workers.operations.figures import Figures, Row
from workers.operations.operations import Operations
from workers.state.overview import FIGURES, HEADINGS, StreamOverview, SubscriptionOverview

_FIGURES = tuple(Column(name, right=True) for name in HEADINGS)
_COLUMNS = (EVENT, Column("LENGTH", right=True), SUBSCRIPTION, *_FIGURES, Column("OLDEST", right=True, drop=1))


def streams(
    glob: EventGlob = "*",
    *,
    everything: Annotated[bool, typer.Option("--all", help="Show idle streams in the table too.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show how full the streams are, and how far each subscription is.

    LAG waits for a worker, IN HAND is held by one, SCHEDULED waits for its next attempt or is deferred, DEAD was
    given up, OLDEST is how long the oldest that waits or is in hand has been there. A stream with a * is no longer
    configured: its publisher or its event has left the catalogue. `top` shows how fast it goes.
    """
    operations, figures = operate(_figures)
    known = operations.catalogue
    found = _selected(known, glob, figures.streams)
    names = {way.name for stream in found for way in stream.subscriptions}
    pauses = {row.name: row for row in figures.rows if (row.pause or row.companies) and row.name in names}
    configured = set(known.streams())
    if as_json:
        print_json([_json(operations.store.keys, figures, pauses, stream, configured) for stream in found])
        return
    shown = [stream for stream in found if everything or not stream.is_idle]
    print_table(_COLUMNS, [row for stream in shown for row in _rows(figures, stream, _cell(known, stream, configured))])
    for name, row in pauses.items():
        complain(f"{name}: {clean(pauses_text(row.pause, row.companies))}")
    if former := [stream.stream for stream in shown if stream.stream not in configured]:
        complain(f"no longer configured: {', '.join(former)}; docs/retention.md says what becomes of them")
    if idle := len(found) - len(shown):
        complain(f"{number_of(idle, 'idle stream')} {'is' if idle == 1 else 'are'} not shown; see --all")


async def _figures(operations: Operations) -> tuple[Operations, Figures]:
    return operations, await operations.figures()


def _selected(known: Catalogue, glob: str, streams: Sequence[StreamOverview]) -> list[StreamOverview]:
    """Return the selected streams, and the former ones that hold something; raises UnknownStream for neither."""
    configured = known.streams()
    former = [stream for stream in streams if stream.stream not in configured and fits(stream.stream, glob)]
    left = [stream for stream in former if stream.length or stream.subscriptions]
    if left and not any(fits(stream, glob) for stream in configured):
        return left
    wanted = select(known, glob)
    return [*(stream for stream in streams if stream.stream in wanted), *left]


def _cell(known: Catalogue, stream: StreamOverview, configured: Collection[str]) -> TwoForms:
    name = stream.stream
    return event_cell(known, name) if name in configured else TwoForms(f"{name}*", f"{name}*")


def _rows(found: Figures, stream: StreamOverview, event: TwoForms) -> Iterator[tuple[object, ...]]:
    if not stream.subscriptions:
        yield (event, stream.length, None, None, None, None, None, None)
    for way in stream.subscriptions:
        seconds = found.oldest.get((stream.stream, way.name))
        oldest = None if seconds is None else span_text(seconds)
        yield (event, stream.length, way.name, *(getattr(way, figure) for figure in FIGURES), oldest)


def _json(
    keys: Keys, found: Figures, pauses: Mapping[str, Row], stream: StreamOverview, configured: Collection[str]
) -> dict[str, Any]:
    publisher, _, type_ = stream.stream.partition("/")
    return {
        "stream": stream.stream,
        "publisher": publisher,
        "type": type_,
        "key": keys.events(stream.stream),
        "configured": stream.stream in configured,
        "length": stream.length,
        "subscriptions": [_way_json(found, pauses.get(way.name), way) for way in stream.subscriptions],
    }


def _way_json(found: Figures, row: Row | None, way: SubscriptionOverview) -> dict[str, Any]:
    return {
        **fields_of(way, "name", *FIGURES),
        "oldest_seconds": rounded(found.oldest.get((way.stream, way.name)), 3),
        "paused": pause_json(row.pause if row else None),
        **companies_json(row.companies if row else {}),
        **_skipped(found, way.stream, way.name),
    }


def _skipped(found: Figures, stream: str, name: str) -> dict[str, int]:
    """Return how many events of a stream the filter of a subscription has skipped, where it has one."""
    filtered = next((row.filter for row in found.rows if row.name == name), None)
    return {"skipped": filtered.skipped.get(stream, 0)} if filtered else {}
