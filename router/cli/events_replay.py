"""`events replay`: giving one subscription past events once more."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer

from router.browse import EventFilter, StoredEvent
from router.cli.audited import CHANGED, FAILED, audited
from router.cli.batches import batches
from router.cli.change import Meant, confirm, counted, show_sample, tell_refused
from router.cli.completing import subscriptions
from router.cli.events import EVENT_COLUMNS, event_row
from router.cli.events_options import Company, EventGlob, Resource, wanted_streams
from router.cli.exits import ExitCode, NothingMatched, complain, usage
from router.cli.listing import first
from router.cli.loop import run
from router.cli.options import Since, Until
from router.cli.order import DryRun, Most, Order, Rate, Reason, Yes
from router.cli.output import JsonFlag, number_of, print_json, print_line, progress
from router.cli.runtime import Session, opened
from router.cli.subscription_words import none_named, without_worker
from workers.handover import Handover, NotSubscribed, Position

__all__ = ["replay"]

_ALL = "*"


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


def replay(
    glob: EventGlob = _ALL,
    *,
    to: To,
    since: Since = None,
    until: Until = None,
    after: After = None,
    resource: Resource = None,
    company: Company = None,
    most: Most = None,
    rate: Rate = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: JsonFlag = False,
) -> None:
    """Give a subscription past events once more, oldest first, with a fresh set of attempts; others do not see them.

    For what is in the streams still, and what the subscription was given before. Repeating it gives them again: one
    that was interrupted names the entry to go on with, by --after.
    """
    if since is None and after is None:
        usage("say from when on, with --since TIME (or --after ENTRY)")
    wanted = EventFilter(resource, company, since, until)
    given = {"glob": glob, "since": since, "until": until, "after": after, "resource": resource, "company": company}
    order = Order(
        group="events",
        verb="replay",
        done="replayed",
        noun="event",
        selector={name: str(value) for name, value in given.items() if value is not None},
        subject=to,
        most=most,
        yes=yes,
        dry_run=dry_run,
        reason=reason,
        rate=rate,
    )
    matched, counts, last = run(_replay(order, wanted_streams(glob), wanted, after))
    _finish(order, matched, counts, last, as_json=as_json)


async def _replay(
    order: Order, streams: Sequence[str], wanted: EventFilter, after: Position | None
) -> tuple[int, Counter[str], Position | None]:
    async with opened() as session:
        if words := await none_named(session, order.subject):
            raise NothingMatched(words)
        handover = Handover(session.store, session.catalogue, order.subject, wanted, after)
        await _choose(handover, order, streams)
        meant = await counted(first(handover.events(), order.most))
        if not meant.number:
            raise NothingMatched(f"nothing to replay: {order.subject} was given nothing that matches and is still kept")
        if away := await without_worker(session, [order.subject]):
            complain(f"no worker runs for {', '.join(away)} now: what is replayed waits until one does")
        if order.dry_run:
            _show(session, order, meant)
            return meant.number, Counter(), None
        confirm(order, meant.number, lambda: _show(session, order, meant))
        return meant.number, *await _carry_out(session, order, handover, meant.number)


async def _choose(handover: Handover, order: Order, streams: Sequence[str]) -> None:
    try:
        left_out = await handover.choose(streams)
    except NotSubscribed as error:
        usage(str(error))
    if left_out and order.selector["glob"] != _ALL:
        complain(f"{order.subject} does not subscribe to {', '.join(left_out)}: left out")


def _show(session: Session, order: Order, meant: Meant[StoredEvent]) -> None:
    rows = [event_row(session.catalogue, stored.event) for stored in meant.sample if stored.event]
    what = f"replay {number_of(meant.number, 'event')} to {order.subject}"
    show_sample(what, meant.number, EVENT_COLUMNS, rows)


async def _carry_out(
    session: Session, order: Order, handover: Handover, matched: int
) -> tuple[Counter[str], Position | None]:
    """Give the events; return what became of them, and how far it came."""
    last = None
    with progress(order.verb, matched) as advance:
        async with audited(session, order, matched, tell=False) as counts:
            try:
                async for batch in batches(first(handover.events(), order.most), order.rate):
                    given = await handover.give(batch, order.reason)
                    counts.update({CHANGED: given.changed, FAILED: given.failed})
                    last = Position(batch[-1].entry_id, batch[-1].stream)
                    advance(len(batch))
            except BaseException:
                complain(_told(order, counts, matched, last))
                raise
    return counts, last


def _told(order: Order, counts: Counter[str], matched: int, last: Position | None) -> str:
    """Return what to say of a replay that did not come to its end."""
    go_on = f"add --after {last} to go on" if last else "nothing is known to have been given"
    twice = f"up to {order.batch} more may have been given, and will be again"
    return f"it ended when {counts[CHANGED]} of {matched} were replayed: {go_on}; {twice}"


def _finish(order: Order, matched: int, counts: Counter[str], last: Position | None, *, as_json: bool) -> None:
    changed, failed = counts[CHANGED], counts[FAILED]
    if as_json:
        told = {"replayed": changed, "failed": failed, "after": str(last) if last else None}
        print_json({"subscription": order.subject, "matched": matched, **told})
    elif not order.dry_run:
        gone = matched - changed - failed
        print_line(f"replayed {changed} of {matched} to {order.subject}" + (f", {gone} gone already" if gone else ""))
        if order.most == matched:
            complain(f"there may be more: add --after {last} to go on")
    tell_refused(failed, order.done)
    if failed:
        raise typer.Exit(ExitCode.PARTLY_FAILED)
