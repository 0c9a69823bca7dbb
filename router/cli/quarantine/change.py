"""`quarantine retry|purge`: making events of what can be read by now, and removing what never will be."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import typer

from router.cli.changes.change import Meant, Work, change, counted, tell_refused
from router.cli.changes.order import DryRun, Most, Order, Rate, Reason, Yes
from router.cli.command.exits import ExitCode, complain, usage
from router.cli.command.loop import run
from router.cli.command.runtime import opened
from router.cli.options.common import Since, Until
from router.cli.options.events import Company
from router.cli.output.listing import first
from router.cli.output.results import JsonFlag, number_of, print_json, print_line
from router.cli.quarantine.options import Publisher, Text, What, selector_of
from router.cli.quarantine.reading import QUARANTINE_COLUMNS, quarantine_row
from router.intake.writer import Batch
from workers.operations.audit import CHANGED, FAILED
from workers.operations.quarantine import Quarantine, QuarantineSpan
from workers.operations.quarantined import Quarantined, QuarantineSelector

__all__ = ["purge", "retry"]

_NOUN = "quarantined item"
_TOLD = 20  # items that are told one by one


def retry(
    what: What = None,
    *,
    publisher: Publisher = None,
    text: Text = None,
    company: Company = None,
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    rate: Rate = None,
    most: Most = None,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Read bodies again, by the catalogue of today; what becomes an event leaves the quarantine. Safe to repeat.

    What still cannot be read stays, its reason is told, and the exit code is 1.
    """
    wanted = selector_of(what, publisher, text, since, until, company)
    order = _order("retry", "stored", wanted, most=most, yes=yes, dry_run=dry_run, reason=reason, rate=rate)
    _finish_retry(order, *run(_change(order, wanted)), as_json=as_json)


def purge(
    what: What = None,
    *,
    publisher: Publisher = None,
    text: Text = None,
    company: Company = None,
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    most: Most = None,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Remove bodies for good; something has to select them. More than one take --yes."""
    wanted = selector_of(what, publisher, text, since, until, company)
    if wanted.is_empty:
        usage(
            "quarantine purge needs something that selects, such as a publisher or an ID: it never removes everything"
        )
    order = _order("purge", "purged", wanted, most=most, yes=yes, dry_run=dry_run, reason=reason)
    _finish_purge(order, *run(_change(order, wanted)), as_json=as_json)


def _order(verb: str, done: str, selector: QuarantineSelector, **given: Any) -> Order:
    return Order(group="quarantine", verb=verb, done=done, noun=_NOUN, selector=selector.describe(), **given)


class _QuarantineWork(Work[Quarantined]):
    """A change of what was in the quarantine when it began."""

    columns = QUARANTINE_COLUMNS

    def __init__(
        self, quarantine: Quarantine, order: Order, selector: QuarantineSelector, spans: Sequence[QuarantineSpan]
    ) -> None:
        self._quarantine = quarantine
        self._order = order
        self._selector = selector
        self._spans = spans

    def items(self) -> AsyncIterator[Quarantined]:
        """Yield the oldest of each publisher first."""
        return first(self._quarantine.oldest(self._selector, self._spans), self._order.most)

    def row(self, item: Quarantined) -> Sequence[object]:
        """Return the cells of a list of the quarantine."""
        return quarantine_row(item)

    async def look(self) -> Meant[Quarantined]:
        """Count what is meant."""
        return await counted(self.items())

    async def nothing(self) -> str:
        """Tell that there is none."""
        return f"no {_NOUN} matches; `event-router quarantine list` shows what there is"


class _Purge(_QuarantineWork):
    """Removes bodies."""

    async def apply(self, batch: Sequence[Quarantined]) -> Counter[str]:
        """Remove these."""
        removed = await self._quarantine.purge(batch)
        return Counter({CHANGED: removed.changed, FAILED: removed.failed})


class _Retry(_QuarantineWork):
    """Makes events of bodies, and tells why one stays."""

    def __init__(self, appending: Batch, *given: Any) -> None:
        super().__init__(*given)
        self._appending = appending
        self._told = 0

    async def apply(self, batch: Sequence[Quarantined]) -> Counter[str]:
        """Try these."""
        counts: Counter[str] = Counter()
        for item, outcome, why in await self._quarantine.retry(batch, self._appending):
            counts[outcome] += 1
            if why:
                self._tell(item, why)
        changed, failed = counts["stored"] + counts["duplicate"], counts["unreadable"] + counts["refused"]
        return counts + Counter({CHANGED: changed, FAILED: failed})

    def _tell(self, item: Quarantined, why: str) -> None:
        self._told += 1
        if self._told <= _TOLD:
            complain(f"{item.entry_id} stays: {why}")
        elif self._told == _TOLD + 1:
            complain("more stay; `event-router quarantine list` shows them")


async def _change(order: Order, selector: QuarantineSelector) -> tuple[int, Counter[str]]:
    async with opened() as session:
        quarantine = Quarantine(session.store, session.catalogue)
        given = (quarantine, order, selector, await quarantine.freeze(selector))
        if order.verb == "purge":
            return await change(session, order, _Purge(*given))
        work = _Retry(Batch.for_settings(session.store, session.settings), *given)
        return await change(session, order, work)


def _finish_retry(order: Order, matched: int, counts: Counter[str], *, as_json: bool) -> None:
    told = {"stored": "stored", "duplicates": "duplicate", "unreadable": "unreadable", "failed": "refused"}
    figures = {name: counts[outcome] for name, outcome in told.items()}
    if as_json:
        print_json({"matched": matched, **figures})
    elif not order.dry_run:
        others = f", {number_of(figures['duplicates'], 'duplicate')}" if figures["duplicates"] else ""
        print_line(f"stored {figures['stored']} of {matched}{others}")
    if figures["unreadable"]:
        complain(f"{figures['unreadable']} still cannot be read, and stay")
    _end(order, figures["failed"], counts)


def _finish_purge(order: Order, matched: int, counts: Counter[str], *, as_json: bool) -> None:
    if as_json:
        print_json({"matched": matched, "purged": counts[CHANGED], "failed": counts[FAILED]})
    elif not order.dry_run:
        gone = matched - counts[CHANGED] - counts[FAILED]
        print_line(f"purged {counts[CHANGED]} of {matched}" + (f", {gone} gone already" if gone else ""))
    _end(order, counts[FAILED], counts)


def _end(order: Order, refused: int, counts: Counter[str]) -> None:
    tell_refused(refused, order.done)
    if counts[FAILED]:
        raise typer.Exit(ExitCode.PARTLY_FAILED)
