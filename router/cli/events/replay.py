"""`events replay`: giving one subscription past events once more."""

from functools import partial
from typing import Annotated, Any

import typer

from router.cli.change import Kind, Order, Renormalise, carry_out, finish
from router.cli.command.exits import ExitCode, NothingMatched, complain, usage
from router.cli.command.runtime import none_named, operate
from router.cli.events.listing import EVENT_COLUMNS, event_row, wanted_events
from router.cli.options.common import EventGlob, taking
from router.cli.options.completing import subscriptions
from router.events.catalogue import Catalogue
from workers.archive.reading import Skipped
from workers.operations.change import Result
from workers.operations.events import EventFilter, StoredEvent
from workers.operations.handover import ALL, BEFORE, Handover, NotSubscribed, Position, ReplayOptions
from workers.operations.operations import Operations


def _position(text: str) -> Position:
    try:
        return Position.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="SUBSCRIPTION",
        help="The one that gets them; nobody else does.",
        autocompletion=subscriptions,
    ),
]
After = Annotated[
    Position | None,
    typer.Option(parser=_position, metavar="ENTRY", help="Only what is behind it, to go on where a replay ended."),
]
FromArchive = Annotated[
    bool, typer.Option("--from-archive", help="Events of the archive, in place of those in the streams still.")
]
Again = Annotated[
    str,
    typer.Option("--again", metavar="NAME", help="Also what earlier replays gave, under a new name."),
]


@taking(wanted=wanted_events, order=Order)
def replay(
    glob: EventGlob = ALL,
    *,
    to: To,
    wanted: EventFilter,
    after: After = None,
    again: Again = "",
    from_archive: FromArchive = False,
    renormalise: Renormalise = False,
    order: Order,
) -> None:
    """Give a subscription past events once more, oldest first, with a fresh set of attempts; others do not see them.

    For what is in the streams still, and what the subscription was given before; with --from-archive for what is in
    the archive. Needs --since TIME, or --after ENTRY to go on where a replay ended: nobody replays everything by
    mistake. Safe to repeat: for a week at least, what a replay has given is not given again, unless --again names a
    new replay.
    """
    if wanted.since is None and after is None:
        usage("say from when on, with --since TIME (or --after ENTRY)")
    kind = Kind(
        verb="replay",
        done="replayed",
        noun="event",
        columns=EVENT_COLUMNS,
        row_of=_row,
        nothing=f"the archive holds nothing of {to} that matches"
        if from_archive
        else f"{to} was given nothing that matches and is still kept",
        to=to,
        asks_for_one=True,  # its handler has handled it before
    )

    skipped: list[str] = []

    def skip(what: Skipped) -> None:
        skipped.append(what.name)
        complain(f"{what.name} is left out: {what.why}")

    async def work(operations: Operations) -> tuple[Result, Position | None]:
        options = ReplayOptions(glob, after, again, order.most, renormalise)
        change = (
            operations.recall_events(to, wanted, options, skip=skip, wait=partial(_say_waiting, to))
            if from_archive
            else operations.replay_events(to, wanted, options)
        )
        await _settle(operations, change, to, glob)
        return await carry_out(operations, order, kind, change), change.last

    result, last = operate(work)
    before = result.counts[BEFORE]
    more: dict[str, Any] = {"subscription": to, "already": before, "after": str(last) if last else None}
    more |= {"skipped": skipped} if from_archive else {}
    if order.most == result.matched and last and not order.as_json:
        complain(f"there may be more: add --after {last} to go on")
    finish(order, kind, result, before=before, more=more)
    if skipped:
        raise typer.Exit(ExitCode.PARTLY_FAILED)


def _say_waiting(to: str, waits: bool) -> None:  # noqa: FBT001 - what a change calls it with
    complain(f"{to} has much to handle: waiting until it has room" if waits else f"{to} has room again")


async def _settle(operations: Operations, change: Handover, to: str, glob: str) -> None:
    """Settle what can be given; raises NothingMatched where there is no such subscription."""
    if words := await none_named(operations, to):
        raise NothingMatched(words)
    try:
        await change.settle()
    except NotSubscribed as error:
        usage(str(error))
    if change.left_out and glob != ALL:
        complain(f"{to} does not subscribe to {', '.join(change.left_out)}: left out")


def _row(catalogue: Catalogue, stored: StoredEvent) -> tuple[object, ...]:
    assert stored.event is not None
    return event_row(catalogue, stored.event)
