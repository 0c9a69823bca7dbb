"""Lists of unknown length: all of it for machines, as much as fits a screen for people."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated, Any, TypeVar

import typer

from router.cli.command.exits import complain
from router.cli.output.results import print_json_array
from router.cli.output.table import Column, print_table
from router.tasks.iterating import first

__all__ = ["Limit", "print_list"]

T = TypeVar("T")

_IN_TABLE = 50

Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help=f"At most so many; {_IN_TABLE} in a table, all in JSON.")
]


async def print_list(
    items: AsyncIterator[T],
    columns: Sequence[Column],
    row_of: Callable[[T], Sequence[object]],
    json_of: Callable[[T], Any],
    *,
    limit: int | None,
    as_json: bool,
) -> int:
    """Print items as a JSON array, or as a table that says so when there are more; return how many were printed."""
    if as_json:
        return await print_json_array(json_of(item) async for item in first(items, limit))
    shown = limit or _IN_TABLE
    found = [row_of(item) async for item in first(items, shown + 1)]  # not the items, each of which may be large
    print_table(columns, found[:shown])
    if len(found) > shown:
        complain(f"there are more than {f'these {shown}' if shown > 1 else 'this one'}; see --limit")
    return len(found)
