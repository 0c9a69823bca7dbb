"""`subscriptions list`: which subscriptions there are, how far each is, and whether somebody works for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import typer

from router.cli.exits import complain
from router.cli.loop import run
from router.cli.output import JsonFlag, print_json, stamp
from router.cli.runtime import Session, opened
from router.cli.table import SUBSCRIPTION, Column, print_table, rest
from workers.former import all_streams
from workers.liveness import live_consumers
from workers.overview import StreamOverview, SubscriptionOverview, overview
from workers.pausing import Pause, paused

__all__ = ["app", "pause_json"]

_FIGURES = ("lag", "pending", "scheduled", "dead")
_COLUMNS = (SUBSCRIPTION, *(Column(name, right=True) for name in ("STREAMS", *map(str.upper, _FIGURES), "WORKERS")))
_PAUSED = rest("PAUSED")

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="The subscriptions: which there are, and how far each is."
)


@dataclass(slots=True)
class _Row:
    """One subscription: how far it is with each of its streams, and which of its consumers live."""

    ways: dict[str, SubscriptionOverview] = field(default_factory=dict)
    consumers: list[str] = field(default_factory=list)
    pause: Pause | None = None

    def total(self, figure: str) -> int:
        return sum(getattr(way, figure) for way in self.ways.values())


@app.command("list")
def list_(*, as_json: JsonFlag = False) -> None:
    """List the subscriptions, with the sums over their streams; `streams` tells how far each is with which.

    LAG waits to be handed to a worker, PENDING is in the hands of one, SCHEDULED waits for its next attempt, DEAD was
    given up. WORKERS is how many gave a sign of life within the lease. A pause is shown where there is one.
    """
    found = run(_found())
    if as_json:
        print_json([_json(name, row) for name, row in found.items()])
        return
    print_table(*_table(found))
    if not found:
        complain("there is no subscription: no worker has run yet")


def _table(found: Mapping[str, _Row]) -> tuple[tuple[Column, ...], list[tuple[object, ...]]]:
    """Return the columns and the rows; without a pause there is no column for it."""
    rows = [_cells(name, row) for name, row in found.items()]
    if not any(row.pause for row in found.values()):
        return _COLUMNS, rows
    pauses = [row.pause.told() if row.pause else None for row in found.values()]
    return (*_COLUMNS, _PAUSED), [(*cells, told) for cells, told in zip(rows, pauses, strict=True)]


async def _found() -> dict[str, _Row]:
    async with opened() as session:
        streams = await all_streams(session.store, session.catalogue)
        found = _by_name(await overview(session.store, streams))
        return await _with_consumers(session, found)


def _by_name(streams: Sequence[StreamOverview]) -> dict[str, _Row]:
    rows: dict[str, _Row] = {}
    for stream in streams:
        for way in stream.subscriptions:
            rows.setdefault(way.name, _Row()).ways[stream.stream] = way
    return dict(sorted(rows.items()))


async def _with_consumers(session: Session, rows: dict[str, _Row]) -> dict[str, _Row]:
    alive = await live_consumers(session.store, list(rows), session.settings.workers.lease)
    pauses = await paused(session.store, list(rows))
    return {name: _Row(row.ways, alive[name], pauses.get(name)) for name, row in rows.items()}


def _cells(name: str, row: _Row) -> tuple[object, ...]:
    return (name, len(row.ways), *map(row.total, _FIGURES), len(row.consumers))


def _json(name: str, row: _Row) -> dict[str, Any]:
    streams = [
        {"stream": stream, **{figure: getattr(way, figure) for figure in _FIGURES}} for stream, way in row.ways.items()
    ]
    sums = {figure: row.total(figure) for figure in _FIGURES}
    told = {"consumers": row.consumers, "paused": pause_json(row.pause), "streams": streams}
    return {"name": name, **sums, **told}


def pause_json(found: Pause | None) -> dict[str, Any] | None:
    """Return a pause as JSON has it; None for none."""
    if found is None:
        return None
    return {"since": stamp(found.since), "until": stamp(found.until), "by": found.by, "reason": found.reason}
