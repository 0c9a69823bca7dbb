"""`subscriptions list`: which subscriptions there are, how far each is, and whether somebody works for it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from router.cli.command.exits import complain
from router.cli.command.runtime import operate
from router.cli.output.results import JsonFlag, fields_of, print_json, stamp
from router.cli.output.table import SUBSCRIPTION, Column, print_table, rest
from workers.operations.figures import Row
from workers.operations.operations import Operations
from workers.state.filters import Filter
from workers.state.overview import FIGURES, HEADINGS
from workers.state.pauses import Pause

_COLUMNS = (SUBSCRIPTION, *(Column(name, right=True) for name in ("STREAMS", *HEADINGS, "WORKERS")))
_SKIPPED = Column("SKIPPED", right=True)
_PAUSED = rest("PAUSED")

Companies = Mapping[str, datetime | None]
"""The companies that a subscription is paused for, each with the end of that; None where it has none."""


def list_(*, as_json: JsonFlag = False) -> None:
    """List the subscriptions, with the sums over their streams; `streams` shows the same for each stream.

    LAG waits for a worker, IN HAND is held by one, SCHEDULED waits for its next attempt, DEAD was given up. WORKERS
    is how many gave a sign of life within the lease. SKIPPED, what a filter left out so far, is shown where there is a
    filter, and a pause where there is one.
    """
    rows, companies = operate(_look)
    if as_json:
        print_json([_json(row, companies.get(row.name, {})) for row in rows])
        return
    print_table(*_table(rows, companies))
    if not rows:
        complain("there is no subscription: no worker has run yet")


async def _look(operations: Operations) -> tuple[Sequence[Row], Mapping[str, Companies]]:
    rows = (await operations.figures()).rows
    return rows, await operations.paused_companies([row.name for row in rows])


def _table(
    rows: Sequence[Row], companies: Mapping[str, Companies]
) -> tuple[tuple[Column, ...], list[tuple[object, ...]]]:
    """Return the columns and the cells; without a filter or a pause there is no column for it."""
    more: dict[Column, list[object]] = {
        _SKIPPED: [row.skipped if row.filter else None for row in rows],
        _PAUSED: [_paused_text(row.pause, companies.get(row.name, {})) for row in rows],
    }
    wanted = {column: cells for column, cells in more.items() if any(cell not in (None, "") for cell in cells)}
    cells = (
        (*(row.name, len(row.ways), *map(row.total, FIGURES)), len(row.workers) if row.is_of_workers else None)
        for row in rows
    )
    columns = (*_COLUMNS, *wanted)
    return columns, [(*row, *(column[at] for column in wanted.values())) for at, row in enumerate(cells)]


def _paused_text(pause: Pause | None, companies: Companies) -> str:
    ends = ((company, f" until {stamp(until)}" if until else "") for company, until in sorted(companies.items()))
    return "; ".join([*([pause.text()] if pause else []), *(f"company {company}{end}" for company, end in ends)])


def _json(row: Row, companies: Companies) -> dict[str, Any]:
    ways = row.ways.items()
    streams = [{"stream": stream, **fields_of(way, *FIGURES)} for stream, way in ways]
    sums = {figure: row.total(figure) for figure in FIGURES}
    paused = [{"company": company, "until": stamp(until)} for company, until in sorted(companies.items())]
    more = {"consumers": row.workers, "paused": pause_json(row.pause), "streams": streams}
    return {
        "name": row.name,
        **sums,
        **more,
        **({"paused_companies": paused} if paused else {}),
        **(_filter_json(row.filter, row.skipped) if row.filter else {}),
    }


def _filter_json(found: Filter, skipped: int) -> dict[str, Any]:
    return {"skipped": skipped, "where": found.where.conditions if found.where else None}


def pause_json(found: Pause | None) -> dict[str, Any] | None:
    """Return a pause as JSON has it; None for none."""
    return fields_of(found, "since", "until", "by", "reason") if found else None
