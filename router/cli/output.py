"""Results on stdout: JSON for machines, tables for people.

On a terminal tables are drawn and fitted to its width. Elsewhere they are plain and complete, so that grep and awk find
everything: nothing is cut, and nothing is coloured.
"""

import json
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, TextIO

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

__all__ = ["JsonFlag", "age", "print_json", "print_json_array", "print_record", "print_table", "progress", "stamp"]

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

_WHOLE = ("ID", "SAMPLE")  # what one copies from a table is never broken
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def print_json(value: Any) -> None:
    """Print one JSON value."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


async def print_json_array(rows: AsyncIterator[Any]) -> None:
    """Print one JSON array, each row as it comes, so that the memory it takes does not grow with their number."""
    separator = "["
    async for row in rows:
        sys.stdout.write(f"{separator}\n{json.dumps(row, ensure_ascii=False)}")
        separator = ","
    sys.stdout.write("[]\n" if separator == "[" else "\n]\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], file: TextIO | None = None) -> None:
    """Print rows under their columns, to stdout unless it says elsewhere."""
    texts = [[_clean(cell) for cell in row] for row in rows]
    file = file or sys.stdout
    if file.isatty():
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold", no_wrap=column in _WHOLE)
        for row in texts:
            table.add_row(*map(Text, row))
        Console(file=file).print(table)
        return
    widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
    for row in ([*columns], *texts):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        file.write(line.rstrip() + "\n")


def print_record(fields: Mapping[str, object]) -> None:
    """Print one thing, a line for each field that has a value; a text of several lines is indented under its name."""
    width = max(map(len, fields))
    for name, value in fields.items():
        if value in (None, "", (), [], {}):
            continue
        lines = [_clean(line) for line in str(value).splitlines()]
        if len(lines) > 1:
            sys.stdout.write(f"{name}\n" + "".join(f"    {line}\n" for line in lines))
        else:
            sys.stdout.write(f"{name.ljust(width)}  {lines[0]}\n")


def age(moment: datetime) -> str:
    """Return how long ago a moment was, in its largest unit."""
    seconds = int((datetime.now(UTC) - moment).total_seconds())
    return next((f"{seconds // size}{unit}" for size, unit in _UNITS if seconds >= size), "0s")


def stamp(moment: datetime | None) -> str | None:
    """Return a moment as ISO text in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else None


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show progress on a terminal; yield what is called with the number of each step."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _number: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda number: bar.advance(task, number)


def _clean(cell: object) -> str:
    """Return a cell's text without what could break the table or command the terminal: it comes from senders."""
    text = "-" if cell is None or cell == "" else str(cell)
    return text if text.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
