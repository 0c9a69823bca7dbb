"""The options and arguments that commands of several groups take."""

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from workers.operations.criteria import parse_moment

__all__ = ["STDIN", "Since", "Until", "ids_on_stdin"]

STDIN = "-"
"""What stands for ids on stdin."""


def _moment(text: str) -> datetime:
    try:
        return parse_moment(text, datetime.now(UTC))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Since = Annotated[
    datetime | None, typer.Option(parser=_moment, metavar="TIME", help="From then on: 15m, 2h, 3d, or an ISO time.")
]
Until = Annotated[datetime | None, typer.Option(parser=_moment, metavar="TIME", help="Until then, likewise.")]


def ids_on_stdin() -> list[str]:
    """Return the ids on stdin; raises BadParameter where there are none: an empty list must not select all."""
    ids = sys.stdin.read().split()
    if not ids:
        raise typer.BadParameter("no ids on stdin")
    return ids
