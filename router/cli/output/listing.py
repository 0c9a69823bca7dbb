"""Lists of unknown length: all of it for machines, as much as fits a screen for people; and the bodies in them.

Bodies are masked unless --reveal asks for them, which the audit keeps.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, TypeVar

import typer

from router.cli.command.exits import complain, usage
from router.cli.command.runtime import none_named, operate
from router.cli.output.results import JsonFlag, print_json_array
from router.cli.output.table import Column, print_table
from router.events.catalogue import Catalogue
from router.tasks.iterating import first
from workers.operations.audit import MATCHED
from workers.operations.operations import Operations
from workers.operations.reveal import revealing

T = TypeVar("T")

_IN_TABLE = 50

Reveal = Annotated[
    bool, typer.Option("--reveal", help="Show the values of bodies too, in JSON as well; the audit says that you did.")
]


@dataclass(frozen=True, slots=True)
class Listing:
    """How a list is printed: the options are the same for every command that lists."""

    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help=f"At most so many; {_IN_TABLE} in a table, all in JSON.")
    ] = None
    as_json: JsonFlag = False


def print_list(
    items_of: Callable[[Operations], AsyncIterator[T]],
    columns: Sequence[Column],
    row_of: Callable[[Catalogue, T], Sequence[object]],
    json_of: Callable[[T], Any],
    listing: Listing,
    *,
    subscription: str | None = None,
    revealed: tuple[str, Mapping[str, Any]] | None = None,
    nothing: Callable[[Operations], Awaitable[str | None]] | None = None,
    also: Callable[[Operations], Awaitable[str | None]] | None = None,
) -> None:
    """Print what the store has as a JSON array, or as a table that says so when there are more.

    subscription: the one whose items are listed; where nothing is listed and no subscription has this name, it says so.
    nothing: returns, in place of that, what to say where nothing is listed. also: what to say whatever is listed.
    revealed: what the audit says is seen, and by which selection; None where nothing hidden is shown.
    """
    if revealed:
        check_reveal(reveal=True, as_json=listing.as_json)

    async def why(operations: Operations) -> str | None:
        return await (nothing(operations) if nothing else none_named(operations, subscription))

    async def work(operations: Operations) -> None:
        items = items_of(operations)
        async with revealing(operations.store, *(revealed or ("", {})), reveal=bool(revealed)) as counts:
            if listing.as_json:
                shown = first(items, listing.limit)
                found = await print_json_array(counted(counts, json_of)(item) async for item in shown)
            else:
                row = partial(row_of, operations.catalogue)
                found = await _print_table(items, columns, row, listing.limit)
            if not found and (words := await why(operations)):
                complain(words)
            if also and (words := await also(operations)):
                complain(words)

    operate(work)


async def _print_table(
    items: AsyncIterator[T], columns: Sequence[Column], row_of: Callable[[T], Sequence[object]], limit: int | None
) -> int:
    shown = limit or _IN_TABLE
    found = [row_of(item) async for item in first(items, shown + 1)]  # not the items, each of which may be large
    print_table(columns, found[:shown])
    if len(found) > shown:
        complain(f"there are more than {f'these {shown}' if shown > 1 else 'this one'}; see --limit")
    return len(found)


def counted(counts: Counter[str], json_of: Callable[[T], Any]) -> Callable[[T], Any]:
    """Return what makes JSON of an item, and counts it."""

    def shown(item: T) -> Any:
        counts[MATCHED] += 1
        return json_of(item)

    return shown


def check_reveal(*, reveal: bool, as_json: bool) -> None:
    """End a command that lists without bodies where it is to reveal them."""
    if reveal and not as_json:
        usage("the list has no bodies: add --json to --reveal, or show one of them")
