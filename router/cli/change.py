"""Carrying out a change for somebody at a terminal: show what it selects, ask, run it, and say how it ended."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Generic, TypeVar

import typer

from config.errors import described
from router.cli.command.exits import ExitCode, NothingMatched, complain, usage
from router.cli.command.loop import in_order
from router.cli.command.runtime import none_named, operate
from router.cli.output.results import JsonFlag, clean, number_of, print_json, print_line, progress
from router.cli.output.table import Column, print_table
from router.events.catalogue import Catalogue
from router.store.errors import STORE_ERRORS
from workers.operations.audit import INTERRUPTED, MATCHED
from workers.operations.change import Change, Preview, Result
from workers.operations.operations import Operations
from workers.where import Where

T = TypeVar("T")

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Go ahead without asking.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what is selected.")]
Most = Annotated[int | None, typer.Option("--max", min=1, help="At most so many; of each stream the oldest.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the audit and in the log.")]
Renormalise = Annotated[
    bool, typer.Option("--renormalise", help="Make the events again from the bytes as sent, by the catalogue of today.")
]


@dataclass(frozen=True, slots=True)
class Order:
    """How a command is to change what it selects: the options are the same for every command that does."""

    yes: Yes = False
    dry_run: DryRun = False
    rate: Annotated[float | None, typer.Option("--rate", min=0.01, help="At most so many a second.")] = None
    most: Most = None
    reason: Reason = ""
    as_json: JsonFlag = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[T]):
    """A kind of change in words, and how what it changes is shown: `replay` events, which are `replayed`, `to` whom.

    `nothing` says that nothing is selected, and `hint` where to look then. `asks_for_one`: a single item takes a yes,
    too.
    """

    verb: str
    done: str
    noun: str
    columns: Sequence[Column] = ()
    row_of: Callable[[Catalogue, T], Sequence[object]] = lambda _catalogue, _item: ()
    nothing: str = ""
    hint: str = ""
    to: str = ""
    asks_for_one: bool = False


def carried_out(
    order: Order, kind: Kind[T], chosen: Callable[[Operations], Change[T]], subscription: str | None = None
) -> Result:
    """Open the store, and return how the chosen change of it ended, as `carry_out` does."""
    return operate(lambda operations: carry_out(operations, order, kind, chosen(operations), subscription))


async def carry_out(
    operations: Operations, order: Order, kind: Kind[T], change: Change[T], subscription: str | None = None
) -> Result:
    """Return how a change ended, of a dry run what it selects; raises NothingMatched, with why nothing is selected."""
    seen = await change.preview()
    if not seen.number:
        raise await nothing(operations, kind, subscription)
    if kind.verb == "replay" and (away := await operations.without_worker(seen.subscriptions)):
        complain(f"no worker runs for {', '.join(away)} now: what is replayed waits until one does")
    for name, number in sorted(seen.filtered.items()):
        if number != 0:
            complain(_filtered(name, number, seen.number, change.filters[name]))

    show = partial(show_sample, operations.catalogue, kind, _described(kind, change, seen.number), seen)
    if order.dry_run:
        show()
        return Result(Counter({MATCHED: seen.number}), filtered=seen.filtered)
    if seen.number > 1 or not change.selector or kind.asks_for_one:
        confirm(order, kind, seen.number, show)
    return await run_change(order, kind, change, seen.number)


async def nothing(operations: Operations, kind: Kind[Any], subscription: str | None) -> NothingMatched:
    """Return what to raise where nothing is selected, of the subscription or at all."""
    why = await none_named(operations, subscription) or kind.nothing
    return NothingMatched(f"nothing to {kind.verb}: {why}{kind.hint}")


async def run_change(order: Order, kind: Kind[Any], change: Change[Any], number: int) -> Result:
    """Run a change with a bar that shows how far it is; say how far it came where something ended it early."""
    with progress(kind.verb, number) as advance, in_order():
        try:
            return await change.run(reason=order.reason, rate=order.rate, progress=advance)
        except (Exception, asyncio.CancelledError) as error:
            done = change.result
            complain(f"{_why(error)} when {done.changed} of {done.matched} were {kind.done}; repeating is safe")
            raise
        finally:
            for note in change.result.notes:
                complain(note)


def finish(
    order: Order, kind: Kind[Any], result: Result, *, before: int = 0, more: Mapping[str, Any] | None = None
) -> None:
    """Print how a change ended; exit with 1 where something could not be changed.

    before: how many were handed over before. more: for JSON.
    """
    failed = result.failed
    if order.as_json:
        filtered = {"filtered": result.filtered} if result.filtered else {}
        print_json({"matched": result.matched, kind.done: result.changed, "failed": failed, **filtered, **(more or {})})
    elif not order.dry_run:
        to = f" to {kind.to}" if kind.to else ""
        others = f", {before} already handed over (see --again)" if before else ""
        if (gone := result.matched - result.changed - failed - before) > 0:
            others += f", {gone} {'was' if gone == 1 else 'were'} gone already"
        print_line(f"{kind.done} {result.changed} of {result.matched}{to}{others}")
    if failed:
        complain(f"{failed} could not be {kind.done}: {clean(result.refusal) or 'the server refused it'}")
        raise typer.Exit(ExitCode.PARTLY_FAILED)


def show_sample(catalogue: Catalogue, kind: Kind[T], what: str, seen: Preview[T]) -> None:
    """Say what is selected, and show the first few of them."""
    complain(f"{what}{', such as' if seen.number > len(seen.sample) else ''}:")
    print_table(kind.columns, [kind.row_of(catalogue, item) for item in seen.sample], file=sys.stderr)


def confirm(order: Order, kind: Kind[Any], number: int, show: Callable[[], None]) -> None:
    """Go on with a yes, of the command line or of somebody at the terminal; else end the command."""
    if order.yes:
        return
    show()
    otherwise = f"add --yes to {kind.verb} {'it' if number == 1 else f'these {number}'}"
    ask(f"{kind.verb} {number_of(number, kind.noun)}?", otherwise)


def ask(question: str, otherwise: str) -> None:
    """Go on with a yes; else end the command, where nobody is there to be asked with what to do `otherwise`."""
    if not _is_asked():
        usage(otherwise)
    with _ctrl_c():
        typer.confirm(question, abort=True, err=True)


@contextmanager
def _ctrl_c() -> Iterator[None]:
    """Have Ctrl-C end a question: the event loop, which sees to it otherwise, does not run meanwhile."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Abort from None
    finally:
        signal.signal(signal.SIGINT, before)


def _is_asked() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _described(kind: Kind[Any], change: Change[Any], number: int) -> str:
    which = number_of(number, kind.noun)
    if not change.selector:
        which = f"{f'all {which}' if number > 1 else f'the only {kind.noun}'}, since nothing selects"
    return f"{kind.verb} {which}{f' to {kind.to}' if kind.to else ''}"


def _filtered(name: str, number: int | None, of: int, where: Where) -> str:
    skips = "judges them again, and may skip some" if number is None else f"skips {number} of these {of}"
    return f"the filter of {name} {skips}: where {where}"


def _why(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return INTERRUPTED
    return "the store was lost" if isinstance(error, STORE_ERRORS) else described(error)
