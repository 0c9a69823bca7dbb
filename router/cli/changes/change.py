"""Carrying out a change for somebody at a terminal: show what it selects, ask, run it, and say how it ended."""

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import typer

from config.errors import described
from router.cli.changes.asking import ask
from router.cli.changes.order import Order
from router.cli.command.exits import ExitCode, NothingMatched, complain
from router.cli.command.loop import in_order
from router.cli.output.results import number_of, print_json, print_line, progress
from router.cli.output.table import Column, print_table
from router.store.client import STORE_ERRORS
from workers.operations.audit import INTERRUPTED, MATCHED
from workers.operations.change import Change, Preview, Result
from workers.operations.operations import Operations

__all__ = ["carry_out", "confirm", "finish", "gone", "run_change", "show_sample"]

T = TypeVar("T")


async def carry_out(
    operations: Operations,
    order: Order,
    change: Change[T],
    columns: Sequence[Column],
    row_of: Callable[[T], Sequence[object]],
    nothing: Callable[[], Awaitable[str]],
) -> Result:
    """Return how a change ended, of a dry run what it selects; raises NothingMatched with what `nothing` says."""
    seen = await change.preview()
    if not seen.number:
        raise NothingMatched(f"nothing to {order.verb}: {await nothing()}")
    if order.verb == "replay" and (away := await operations.without_worker(seen.subscriptions)):
        complain(f"no worker runs for {', '.join(away)} now: what is replayed waits until one does")

    def show() -> None:
        show_sample(_described(order, change, seen.number), seen, columns, row_of)

    if order.dry_run:
        show()
        return Result(Counter({MATCHED: seen.number}))
    if seen.number > 1 or not change.selector or order.asks_for_one:
        confirm(order, seen.number, show)
    return await run_change(order, change, seen.number)


async def run_change(order: Order, change: Change[Any], number: int) -> Result:
    """Run a change with a bar that shows how far it is; say how far it came where something ended it early."""
    with progress(order.verb, number) as advance, in_order():
        try:
            return await change.run(reason=order.reason, rate=order.rate, progress=advance)
        except (Exception, asyncio.CancelledError) as error:
            done = change.result
            complain(f"{_why(error)} when {done.changed} of {done.matched} were {order.done}; repeating is safe")
            raise
        finally:
            for note in change.result.notes:
                complain(note)


def finish(
    order: Order, result: Result, *, as_json: bool, more: Mapping[str, Any] | None = None, others: str = ""
) -> None:
    """Print how a change ended; exit with 1 where something could not be changed. `more` is for JSON."""
    failed = result.failed
    if as_json:
        print_json({"matched": result.matched, order.done: result.changed, "failed": failed, **(more or {})})
    elif not order.dry_run:
        to = f" to {order.to}" if order.to else ""
        print_line(f"{order.done} {result.changed} of {result.matched}{to}{others}")
    if failed:
        complain(f"{failed} could not be {order.done}: the server refused it")
        raise typer.Exit(ExitCode.PARTLY_FAILED)


def gone(number: int) -> str:
    """Return that so many were gone; nothing where none was."""
    return f", {number} {'was' if number == 1 else 'were'} gone already" if number > 0 else ""


def show_sample(
    what: str, seen: Preview[T], columns: Sequence[Column], row_of: Callable[[T], Sequence[object]]
) -> None:
    """Say what is selected, and show the first few of them."""
    complain(f"{what}{', such as' if seen.number > len(seen.sample) else ''}:")
    print_table(columns, [row_of(item) for item in seen.sample], file=sys.stderr)


def confirm(order: Order, number: int, show: Callable[[], None]) -> None:
    """Go on with a yes, of the command line or of somebody at the terminal; else end the command."""
    if order.yes:
        return
    show()
    otherwise = f"add --yes to {order.verb} {'it' if number == 1 else f'these {number}'}"
    ask(f"{order.verb} {number_of(number, order.noun)}?", otherwise)


def _described(order: Order, change: Change[Any], number: int) -> str:
    which = number_of(number, order.noun)
    if not change.selector:
        which = f"{f'all {which}' if number > 1 else f'the only {order.noun}'}, since nothing selects"
    return f"{order.verb} {which}{f' to {order.to}' if order.to else ''}"


def _why(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return INTERRUPTED
    return "the store was lost" if isinstance(error, STORE_ERRORS) else described(error)
