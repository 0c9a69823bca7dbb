"""Results on stdout: JSON for machines, records for people (tables are next door), and the words for them."""

import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from router.telemetry.printable import printable_json

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def print_json(value: Any) -> None:
    """Print one JSON value."""
    sys.stdout.write(json_line(value, indent=2) + "\n")


async def print_json_array(rows: AsyncIterator[Any]) -> int:
    """Print one JSON array, each row as it comes, so that the memory does not grow with their number; return that."""
    number = 0
    async for row in rows:
        sys.stdout.write(f"{',' if number else '['}\n{json_line(row)}")
        number += 1
    sys.stdout.write("\n]\n" if number else "[]\n")
    return number


def print_line(line: str) -> None:
    """Print one line of those that come one by one, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def json_line(value: Any, indent: int | None = None) -> str:
    r"""Return a value as JSON, of one line unless indented, that commands no terminal: what does not print is `\u…`.

    So is all that an alphabet other than Unicode lacks, for which a stream would write what is no JSON.
    """
    is_unicode = (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    return printable_json(json.dumps(value, indent=indent, ensure_ascii=not is_unicode))


def print_record(fields: Mapping[str, object]) -> None:
    """Print one thing, a line for each field that has a value; a text of several lines is indented under its name.

    What has parts, as the fields without a name of their own, is JSON: it can be copied out.
    """
    width = max(map(len, fields))
    for name, value in fields.items():
        if value in (None, "", (), [], {}):
            continue
        text = json_line(value) if isinstance(value, dict | list) else str(value)
        lines = [clean(line) for line in text.splitlines()]
        if len(lines) > 1:
            sys.stdout.write(f"{name}\n" + "".join(f"    {line}\n" for line in lines))
        else:
            sys.stdout.write(f"{name.ljust(width)}  {lines[0]}\n")


def age(moment: datetime) -> str:
    """Return how long ago a moment was, in its largest unit."""
    return span_text((datetime.now(UTC) - moment).total_seconds())


def span_text(seconds: float) -> str:
    """Return a span of time in its largest unit."""
    return next((f"{int(seconds) // size}{unit}" for size, unit in _UNITS if seconds >= size), "0s")


def number_of(number: int, thing: str) -> str:
    """Return `1 dead letter` or `2 dead letters`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def stamp(moment: datetime | None) -> str | None:
    """Return a moment as ISO text in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else None


def fields_of(thing: object, *names: str) -> dict[str, Any]:
    """Return these attributes of a thing, as JSON has them: a moment as text."""
    values = ((name, getattr(thing, name)) for name in names)
    return {name: stamp(value) if isinstance(value, datetime) else value for name, value in values}


def rounded(number: float | None, digits: int) -> float | None:
    """Return a number with so many digits behind the point; None for none."""
    return None if number is None else round(number, digits)


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show progress on a terminal; yield what is called with the number of each step."""
    if not sys.stderr.isatty():
        yield lambda _number: None
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and only this needs it
    from rich.progress import (  # noqa: PLC0415 - likewise
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda number: bar.advance(task, number)


def clean(cell: object) -> str:
    """Return a cell's text without what could break the table or command the terminal: it comes from senders."""
    text = "-" if cell is None or cell == "" else str(cell)
    return text if text.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
