"""One sweep of the records of one company: what changed and no webhook reported, and what is gone.

Whatever a sweep is ended at, nothing is lost by it: events are appended before anything is written down of how far it
came, and made again under the same ids.
"""

import json
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from config.reconcile import Company
from router.store.reconciling import Kept
from router.telemetry import logs
from workers.erp.erp import Erp
from workers.reconcile.changes import Changes
from workers.reconcile.gone import Gone
from workers.reconcile.listing import Listing
from workers.reconcile.making import Maker
from workers.reconcile.notebook import Notebook
from workers.reconcile.plan import Listed, Plan
from workers.reconcile.reports import Reports
from workers.reconcile.tails import lost_tails, tails
from workers.reconcile.tools import Tools
from workers.state.reconcile import Swept

__all__ = ["Asked", "Sweep"]

_APART: Final = 26 * 3_600_000
"""Milliseconds by which the ERP's times may seem to be behind: so far are the zones of the world apart."""
_ERROR = 500  # characters
_log = logs.get("reconcile")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a sweep is to do: list all records, begin further back (epoch ms), let so many records be gone."""

    complete: bool = False
    since: int | None = None
    confirmed: int = 0


class Sweep:
    """One sweep, under the lease that `kept` has taken."""

    def __init__(self, plan: Plan, company: Company, tools: Tools, kept: Kept, erp: Erp, reports: Reports) -> None:
        self._plan = plan
        self._company = company
        self._tools = tools
        self._erp = erp
        self._reports = reports
        self._book = Notebook(tools.store, kept)
        self._maker = Maker(plan, company, tools)
        self._state = Swept()

    async def run(self, asked: Asked) -> Swept:
        """Sweep, and return how far the company is then; raises ErpError, NoListing, StoreUnavailable, LeaseLost."""
        await self._begin()
        terms = self._plan.terms
        asked = await self._with_what_was_lost(asked)
        since = await self._cursor() - _millis(terms.overlap) if asked.since is None else asked.since
        judged = await self._book.judged()
        skipped = judged if asked.since is None else {}
        changes = Changes(self._company, self._tools, self._reports, self._maker, since, skipped, terms.wait)
        listing = self._listing(since)
        await listing.read(changes.take)
        await changes.make()
        self._count(changes, listing, since)
        if terms.deletes:
            await self._book.put_known(changes.seen)
        if asked.complete:
            await self._find_gone(asked.confirmed)
        await self._note_judged(judged, changes.seen)
        self._state = self._state.changed(ends=json.dumps(await tails(self._tools.store, self._plan.reported_by)))
        await self._book.put_state(self._state.written())
        state = self._state
        names = {"reconciliation": self._plan.name, "company": self._company.name}
        _log.info("swept", **names, listed=state.listed, reported=state.reported, made=state.made, error=state.error)
        return state

    async def failed(self, error: str) -> None:
        """Write down that the sweep failed, and when the next one is: sooner than usual, later each time."""
        state = await self._book.state()
        pause = min(self._plan.terms.every, 60.0 * 2.0 ** min(state.failures, 6))
        due = self._tools.now() + _millis(pause)
        await self._book.put_state({"failures": state.failures + 1, "error": error[:_ERROR], "due": due})

    async def _begin(self) -> None:
        state, start = await self._book.state(), self._tools.now()
        if state.about != self._plan.about:
            await self._book.forget()
            state = Swept(about=self._plan.about, repaired=state.repaired, deleted=state.deleted)
        self._state = state.changed(begun=start)
        await self._book.put_state(self._state.written())

    async def _with_what_was_lost(self, asked: Asked) -> Asked:
        """Return what to do: also what the last sweep did, where the store has lost what that went by.

        On a Cluster cursor and streams are on other nodes: where one fails over, the cursor is ahead of what is there.
        """
        state, buried = self._state, await self._book.buried() if self._plan.terms.deletes else {}
        lost = await lost_tails(self._tools.store, json.loads(state.ends or "{}"))
        if lost:
            _log.error("streams_lost_entries", reconciliation=self._plan.name, company=self._company.name, streams=lost)
            await self._book.put_known(buried)
            since = state.since if asked.since is None else min(state.since, asked.since)
            asked = replace(asked, since=since, complete=asked.complete or bool(buried))
        await self._book.put_buried({}, list(buried))
        return asked

    async def _cursor(self) -> int:
        """Return the cursor (epoch ms); the first one goes by the ERP's own time, which may be behind ours.

        It is the newest change that the ERP knows, or as far back as its times may be behind, where nothing is newer.
        """
        if not self._state.cursor:
            latest = self._state.begun - _millis(self._plan.terms.every)
            newest = latest - _APART

            async def look(records: list[Listed]) -> None:
                nonlocal newest
                newest = max([newest, *(record.modified for record in records)])

            await self._listing(newest).once(look)
            self._state = self._state.changed(cursor=min(latest, newest))
            await self._book.put_state(self._state.written())
        return self._state.cursor

    def _listing(self, since: int) -> Listing:
        return Listing(self._plan, self._erp, partial(self._tools.ask, company=self._company.name), since)

    def _count(self, changes: Changes, listing: Listing, since: int) -> None:
        """Take note of what the changes were; the cursor follows where none can have slipped through."""
        state, settled = self._state, listing.is_settled
        self._state = state.changed(
            # Beyond the beginning of the sweep something may have changed on a page that was read before.
            cursor=max(state.cursor, min(changes.newest, state.begun)) if settled else state.cursor,
            whole=state.begun if settled else state.whole,
            due=state.begun + _millis(self._plan.terms.every),
            failures=0,
            error="" if settled else "the list changed each time that it was read",
            listed=changes.listed,
            reported=changes.reported,
            made=changes.made,
            unreadable=listing.unreadable,
            repaired=state.repaired + changes.made,
            since=since,
        )

    async def _find_gone(self, confirmed: int) -> None:
        gone = Gone(self._plan, self._company, self._tools, self._erp, self._book, self._reports)
        await gone.find(self._maker, self._state.complete, confirmed)
        state = self._state
        self._state = state.changed(
            complete=state.begun,
            made=state.made + gone.made,
            repaired=state.repaired + gone.made,
            deleted=state.deleted + gone.made,
            held=gone.held,
            held_of=gone.known if gone.held else 0,
            held_at=self._tools.now() if gone.held else 0,
        )

    async def _note_judged(self, judged: dict[str, int], seen: dict[str, int]) -> None:
        """Write down the changes that the next sweep meets again, and forget those that it will not."""
        edge = self._state.cursor - _millis(self._plan.terms.overlap)
        near = {name: modified for name, modified in seen.items() if modified >= edge}
        await self._book.put_judged(near, [name for name, at in judged.items() if at < edge and name not in near])


def _millis(seconds: float) -> int:
    return int(seconds * 1000)
