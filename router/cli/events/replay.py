"""`events replay`: giving one subscription past events once more."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Annotated

import typer

from router.cli.changes.change import Meant, Work, change, counted, tell_refused
from router.cli.changes.order import DryRun, Most, Order, Rate, Reason, Yes
from router.cli.command.exits import ExitCode, NothingMatched, complain, usage
from router.cli.command.loop import run
from router.cli.command.runtime import Session, opened
from router.cli.events.listing import EVENT_COLUMNS, event_row
from router.cli.options.common import Since, Until
from router.cli.options.completing import subscriptions
from router.cli.options.events import Company, EventGlob, Resource, wanted_streams
from router.cli.output.listing import first
from router.cli.output.results import JsonFlag, number_of, print_json, print_line
from router.cli.subscriptions.words import none_named, without_worker
from workers.operations.audit import CHANGED, FAILED, INTERRUPTED, MATCHED
from workers.operations.events import EventFilter, StoredEvent
from workers.operations.handover import Handover, NotSubscribed, Position

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


class _Replay(Work[StoredEvent]):
    """Gives one subscription what it was given before; `last` is how far it came."""

    columns = EVENT_COLUMNS
    asks_for_one = True  # repeating it is not safe

    def __init__(self, session: Session, order: Order, handover: Handover) -> None:
        self._session = session
        self._order = order
        self._handover = handover
        self.last: Position | None = None

    def items(self) -> AsyncIterator[StoredEvent]:
        """Yield the events, oldest first."""
        return first(self._handover.events(), self._order.most)

    def row(self, item: StoredEvent) -> Sequence[object]:
        """Return the cells of a list of events."""
        assert item.event is not None
        return event_row(self._session.catalogue, item.event)

    async def look(self) -> Meant[StoredEvent]:
        """Count what is meant."""
        return await counted(self.items())

    async def apply(self, batch: Sequence[StoredEvent]) -> Counter[str]:
        """Give these."""
        given = await self._handover.give(batch, self._order.reason)
        self.last = Position(batch[-1].entry_id, batch[-1].stream)
        return Counter({CHANGED: given.changed, FAILED: given.failed})

    async def nothing(self) -> str:
        """Tell what cannot be given any more."""
        return f"{self._order.subject} was given nothing that matches and is still kept"

    async def warn(self) -> None:
        """Say that nobody is there to get it."""
        if away := await without_worker(self._session, [self._order.subject]):
            complain(f"no worker runs for {', '.join(away)} now: what is replayed waits until one does")

    def told(self, order: Order, number: int) -> str:
        """Return how many events go to whom."""
        return f"replay {number_of(number, 'event')} to {order.subject}"

    def ended(self, order: Order, counts: Counter[str], why: str) -> str:
        """Return how to go on: repeating it would give all of it again."""
        go_on = f"add --after {self.last} to go on" if self.last else "nothing is known to have been given"
        twice = f"; up to {order.batch} more may have been given, and will be again" if why != INTERRUPTED else ""
        return f"{why}: it ended when {counts[CHANGED]} of {counts[MATCHED]} were replayed: {go_on}{twice}"


async def _replay(
    order: Order, streams: Sequence[str], wanted: EventFilter, after: Position | None
) -> tuple[int, Counter[str], Position | None]:
    async with opened() as session:
        if words := await none_named(session, order.subject):
            raise NothingMatched(words)
        handover = Handover(session.store, session.catalogue, order.subject, wanted, after)
        await _choose(handover, order, streams)
        work = _Replay(session, order, handover)
        return *await change(session, order, work), work.last


async def _choose(handover: Handover, order: Order, streams: Sequence[str]) -> None:
    try:
        left_out = await handover.choose(streams)
    except NotSubscribed as error:
        usage(str(error))
    if left_out and order.selector["glob"] != _ALL:
        complain(f"{order.subject} does not subscribe to {', '.join(left_out)}: left out")


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
