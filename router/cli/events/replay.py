"""`events replay`: giving one subscription past events once more."""

from functools import partial
from typing import Annotated

import typer

from router.cli.changes.change import carry_out, finish, gone
from router.cli.changes.order import DryRun, Most, Order, Rate, Reason, Renormalise, Yes
from router.cli.command.exits import NothingMatched, complain, usage
from router.cli.command.loop import run
from router.cli.command.runtime import opened
from router.cli.command.words import none_named
from router.cli.events.listing import EVENT_COLUMNS, event_row
from router.cli.options.common import Since, Until
from router.cli.options.completing import subscriptions
from router.cli.options.events import Company, EventGlob, Resource
from router.cli.output.results import JsonFlag
from router.events.catalogue import Catalogue
from workers.operations.change import Result
from workers.operations.events import EventFilter, StoredEvent
from workers.operations.handover import ALL, BEFORE, Handover, NotSubscribed, Position
from workers.operations.operations import Operations

__all__ = ["replay"]


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


def replay(
    glob: EventGlob = ALL,
    *,
    to: To,
    since: Since = None,
    until: Until = None,
    after: After = None,
    resource: Resource = None,
    company: Company = None,
    again: Again = "",
    renormalise: Renormalise = False,
    most: Most = None,
    rate: Rate = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: JsonFlag = False,
) -> None:
    """Give a subscription past events once more, oldest first, with a fresh set of attempts; others do not see them.

    For what is in the streams still, and what the subscription was given before. Safe to repeat: for a week at least,
    what a replay has given is not given again, unless --again names a new replay.
    """
    if since is None and after is None:
        usage("say from when on, with --since TIME (or --after ENTRY)")
    order = Order(
        verb="replay",
        done="replayed",
        noun="event",
        to=to,
        asks_for_one=True,  # its handler has handled it before
        yes=yes,
        dry_run=dry_run,
        reason=reason,
        rate=rate,
    )

    async def work() -> tuple[Result, Position | None]:
        async with opened() as operations:
            wanted = EventFilter(resource, company, since, until)
            change = operations.replay_events(
                to, wanted, glob=glob, after=after, again=again, most=most, renormalise=renormalise
            )
            return await _replay(operations, order, change, glob), change.last

    result, last = run(work())
    before = result.counts[BEFORE]
    others = f", {before} already handed over (see --again)" if before else ""
    others += gone(result.matched - result.changed - result.failed - before)
    more = {"subscription": to, "already": before, "after": str(last) if last else None}
    if most == result.matched and last and not as_json:
        complain(f"there may be more: add --after {last} to go on")
    finish(order, result, as_json=as_json, more=more, others=others)


async def _replay(operations: Operations, order: Order, change: Handover, glob: str) -> Result:
    if words := await none_named(operations, order.to):
        raise NothingMatched(words)
    try:
        await change.settle()
    except NotSubscribed as error:
        usage(str(error))
    if change.left_out and glob != ALL:
        complain(f"{order.to} does not subscribe to {', '.join(change.left_out)}: left out")

    async def nothing() -> str:
        return f"{order.to} was given nothing that matches and is still kept"

    return await carry_out(operations, order, change, EVENT_COLUMNS, partial(_row, operations.catalogue), nothing)


def _row(catalogue: Catalogue, stored: StoredEvent) -> tuple[object, ...]:
    assert stored.event is not None
    return event_row(catalogue, stored.event)
