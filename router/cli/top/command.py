"""`top`: the figures of the running system, live."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

from config.errors import described
from router.cli.command.runtime import operate
from router.cli.output.results import fields_of, json_line, print_json, print_line, rounded, stamp
from router.cli.output.waiting import companies_json, pause_json
from router.cli.top.keys import ending_by_key
from router.cli.top.view import Frame, render
from router.store.errors import STORE_ERRORS
from router.tasks.ending import end
from workers.operations.figures import Rates, Row, rates
from workers.operations.operations import Operations
from workers.state.overview import FIGURES, StreamOverview

_SIZE = (80, 24)  # of what is no terminal

Show = Callable[[Frame], None]


def top(
    *,
    interval: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Between two looks.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print one frame, measured over the interval, and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, a line for each frame.")] = False,
) -> None:
    """Watch the figures of the running system, live: rates, lag, in hand, scheduled, dead; q or Ctrl-C ends it.

    IN/S and OUT/S are events a second: into the subscription's streams, and done or dead. LAG waits for a worker,
    IN HAND is held by one, OLDEST is how long the oldest of both has been there, SCHEDULED waits for its next
    attempt or is deferred, DEAD was given up. Breakers that are open are named above. The store may go away and
    come back meanwhile.
    """
    show = _once if once else _watch
    operate(lambda operations: show(operations, interval, as_json=as_json))


async def _once(operations: Operations, interval: float, *, as_json: bool) -> None:
    first = await operations.figures()
    await asyncio.sleep(interval)
    found = await operations.figures()
    frame = Frame(datetime.now(UTC), interval, found, rates(first, found))
    if as_json:
        print_json(frame_json(frame))
    else:
        _print(Console(file=sys.stdout))(frame)


async def _watch(operations: Operations, interval: float, *, as_json: bool) -> None:
    quit_ = asyncio.Event()
    with ending_by_key(quit_), ExitStack() as stack:
        show = (lambda frame: print_line(json_line(frame_json(frame)))) if as_json else _shown(stack)
        watching = asyncio.create_task(_show_frames(operations, interval, show))
        quitting = asyncio.create_task(quit_.wait())
        try:
            await asyncio.wait([watching, quitting], return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
        finally:
            await end([watching, quitting])


async def _show_frames(operations: Operations, interval: float, show: Show) -> None:
    """Show a frame at every interval; one with an error and the last figures while the store is away."""
    clock = asyncio.get_running_loop().time
    frame = Frame(datetime.now(UTC), interval, None, None)
    while True:
        begun = clock()
        try:
            found = await operations.figures()
            speed = rates(frame.figures, found) if frame.figures else None
            frame = Frame(datetime.now(UTC), interval, found, speed)
        except STORE_ERRORS as error:
            frame = replace(frame, at=datetime.now(UTC), rates=None, error=described(error))
        show(frame)
        await asyncio.sleep(max(0.0, interval - (clock() - begun)))


def _shown(stack: ExitStack) -> Show:
    """Return what shows frames: on all of the terminal, or one below the other where that cannot be."""
    console = Console(file=sys.stdout)
    if not console.is_terminal or console.is_dumb_terminal:
        return _print(console)
    live = stack.enter_context(Live(console=console, screen=True, auto_refresh=False))
    return lambda frame: live.update(render(frame, console.width, console.height), refresh=True)


def _print(console: Console) -> Show:
    if not console.is_terminal:
        console = Console(file=sys.stdout, width=console.width, no_color=True, highlight=False)

    def show(frame: Frame) -> None:
        console.print(render(frame, console.width, console.height if console.is_terminal else _SIZE[1]))
        sys.stdout.flush()

    return show


def frame_json(frame: Frame) -> dict[str, Any]:
    """Return a frame as JSON; rates are None before the second look."""
    found = frame.figures
    return {
        "at": stamp(frame.at),
        "error": frame.error,
        "subscriptions": [_row_json(row, frame.rates) for row in found.rows] if found else [],
        "down": [fields_of(breaker, "name", "since", "reason") for breaker in found.down] if found else [],
        "streams": [_stream_json(stream, frame.rates) for stream in found.streams if stream.length] if found else [],
    }


def _stream_json(stream: StreamOverview, speed: Rates | None) -> dict[str, Any]:
    into = speed.streams if speed else {}
    return {"stream": stream.stream, "length": stream.length, "in_rate": rounded(into.get(stream.stream), 2)}


def _row_json(row: Row, speed: Rates | None) -> dict[str, Any]:
    into, out = (speed.into, speed.out) if speed else ({}, {})
    lag, *others = FIGURES
    return {
        "name": row.name,
        "in_rate": rounded(into.get(row.name), 2),
        "out_rate": rounded(out.get(row.name), 2),
        lag: row.total(lag),
        "oldest_seconds": rounded(row.oldest, 3),
        **{figure: row.total(figure) for figure in others},
        "workers": len(row.workers),
        "paused": pause_json(row.pause),
        **companies_json(row.companies),
    }
