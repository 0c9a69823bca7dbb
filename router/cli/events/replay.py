"""`events replay`: giving one subscription past events once more."""

from typing import Annotated

import typer

from router.cli.change import Kind, Order, Renormalise, carry_out, finish
from router.cli.command.exits import NothingMatched, complain, usage
from router.cli.command.runtime import none_named, operate
from router.cli.events.listing import EVENT_COLUMNS, event_row, wanted_events
from router.cli.options.common import EventGlob, taking
from router.cli.options.completing import subscriptions
from router.events.catalogue import Catalogue
from workers.operations.change import Result
from workers.operations.events import EventFilter, StoredEvent
from workers.operations.handover import ALL, BEFORE, Handover, NotSubscribed, Position
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
    renormalise: Renormalise = False,
    order: Order,
) -> None:
    """Give a subscription past events once more, oldest first, with a fresh set of attempts; others do not see them.

    For what is in the streams still, and what the subscription was given before. Needs --since TIME, or --after ENTRY
    to go on where a replay ended: nobody replays everything by mistake. Safe to repeat: for a week at least,
    what a replay has given is not given again, unless --again names a new replay.
    """
    if wanted.since is None and after is None:
        usage("say from when on, with --since TIME (or --after ENTRY)")
    kind = Kind(
        verb="replay",
        done="replayed",
        noun="event",
        columns=EVENT_COLUMNS,
        row_of=_row,
        nothing=f"{to} was given nothing that matches and is still kept",
        to=to,
        asks_for_one=True,  # its handler has handled it before
    )

    async def work(operations: Operations) -> tuple[Result, Position | None]:
        change = operations.replay_events(
            to, wanted, glob=glob, after=after, again=again, most=order.most, renormalise=renormalise
        )
        await _settle(operations, change, to, glob)
        return await carry_out(operations, order, kind, change), change.last

    result, last = operate(work)
    before = result.counts[BEFORE]
    more = {"subscription": to, "already": before, "after": str(last) if last else None}
    if order.most == result.matched and last and not order.as_json:
        complain(f"there may be more: add --after {last} to go on")
    finish(order, kind, result, before=before, more=more)


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
