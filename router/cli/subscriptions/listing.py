"""`subscriptions list`: which subscriptions there are, how far each is, and whether somebody works for it."""

from collections.abc import Sequence
from typing import Any

from router.cli.command.exits import complain
from router.cli.command.runtime import operate
from router.cli.output.results import JsonFlag, fields_of, print_json
from router.cli.output.table import SUBSCRIPTION, Column, print_table, rest
from router.cli.output.waiting import companies_json, pause_json, pauses_text
from workers.operations.figures import Row
from workers.operations.operations import Operations
from workers.state.filters import Filter
from workers.state.overview import FIGURES, HEADINGS

_COLUMNS = (SUBSCRIPTION, *(Column(name, right=True) for name in ("STREAMS", *HEADINGS, "WORKERS")))
_SKIPPED = Column("SKIPPED", right=True)
_PAUSED = rest("PAUSED")


def list_(*, as_json: JsonFlag = False) -> None:
    """List the subscriptions, with the sums over their streams; `streams` shows the same for each stream.

    LAG waits for a worker, IN HAND is held by one, SCHEDULED waits for its next attempt or is deferred, DEAD was
    given up. WORKERS is how many gave a sign of life within the lease. SKIPPED, what a filter left out so far, is
    shown where there is a filter, and a pause where there is one, of a company, too.
    """
    rows = operate(_look)
    if as_json:
        print_json([_json(row) for row in rows])
        return
    print_table(*_table(rows))
    if not rows:
        complain("there is no subscription: no worker has run yet")


async def _look(operations: Operations) -> Sequence[Row]:
    return (await operations.figures()).rows


def _table(rows: Sequence[Row]) -> tuple[tuple[Column, ...], list[tuple[object, ...]]]:
    """Return the columns and the cells; without a filter or a pause there is no column for it."""
    more: dict[Column, list[object]] = {
        _SKIPPED: [row.skipped if row.filter else None for row in rows],
        _PAUSED: [pauses_text(row.pause, row.companies) for row in rows],
    }
    wanted = {column: cells for column, cells in more.items() if any(cell not in (None, "") for cell in cells)}
    cells = (
        (*(row.name, len(row.ways), *map(row.total, FIGURES)), len(row.workers) if row.is_of_workers else None)
        for row in rows
    )
    columns = (*_COLUMNS, *wanted)
    return columns, [(*row, *(column[at] for column in wanted.values())) for at, row in enumerate(cells)]


def _json(row: Row) -> dict[str, Any]:
    ways = row.ways.items()
    streams = [{"stream": stream, **fields_of(way, *FIGURES)} for stream, way in ways]
    sums = {figure: row.total(figure) for figure in FIGURES}
    more = {"consumers": row.workers, "paused": pause_json(row.pause), "streams": streams}
    return {
        "name": row.name,
        **sums,
        **more,
        **companies_json(row.companies),
        **(_filter_json(row.filter, row.skipped) if row.filter else {}),
    }


def _filter_json(found: Filter, skipped: int) -> dict[str, Any]:
    return {"skipped": skipped, "where": found.where.conditions if found.where else None}
