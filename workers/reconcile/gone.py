"""Which records of a company are gone: those that were there, are on a complete list no more, and answer with 404."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from config.reconcile import Company
from router.telemetry import logs
from workers.erp.erp import Erp
from workers.reconcile.listing import Listing
from workers.reconcile.making import Maker
from workers.reconcile.notebook import Notebook
from workers.reconcile.plan import Listed, Plan
from workers.reconcile.reports import Reports
from workers.reconcile.tools import Tools

__all__ = ["Gone"]

_VERIFIED: Final = 50
"""Records that are asked for one by one before it is written down which of them are gone."""
_log = logs.get("reconcile")


class Gone:
    """Finds them. `made` counts their events; `held` those that seemed gone where they are too many of the `known`."""

    def __init__(self, plan: Plan, company: Company, tools: Tools, erp: Erp, book: Notebook, reports: Reports) -> None:
        self._plan = plan
        self._company = company
        self._tools = tools
        self._erp = erp
        self._book = book
        self._reports = reports
        self._names: set[str] = set()
        self.made = self.held = self.known = 0

    async def find(self, maker: Maker, since: int, confirmed: int) -> None:
        """List all records, and make events of those that are gone.

        since: when all were listed before (epoch ms). confirmed: how many an operator lets go. Raises ErpError,
        NoListing, StoreUnavailable, LeaseLost: then nothing is taken to be gone that was not on its own.
        """
        listing = Listing(self._plan, self._erp, partial(self._tools.ask, company=self._company.name), None)
        await listing.once(self._take)
        missing = await self._missing()
        if len(missing) > max(self._plan.terms.max_deletes * self.known, confirmed):
            self.held = len(missing)
            names = {"reconciliation": self._plan.name, "company": self._company.name}
            _log.error("deletions_held", **names, missing=self.held, of=self.known)
            return
        for start in range(0, len(missing), _VERIFIED):
            await self._bury(missing[start : start + _VERIFIED], maker, since)

    async def _take(self, records: list[Listed]) -> None:
        self._names.update(record.resource for record in records)
        await self._book.put_known({record.resource: record.modified for record in records})

    async def _missing(self) -> list[tuple[str, int]]:
        missing = dict[str, int]()
        async for name, modified in self._book.known():
            self.known += 1
            if name not in self._names:
                missing[name] = modified
        return list(missing.items())

    async def _bury(self, missing: Sequence[tuple[str, int]], maker: Maker, since: int) -> None:
        """Make events of those that the ERP says are gone; a record may have slipped from one page to another."""
        gone, others = list[Listed](), list[str]()
        for name, modified in missing:
            record = self._plan.known(name, modified)
            if record is None:
                others.append(name)
            elif await self._is_gone(record.path):
                gone.append(record)
            elif self._plan.terms.query:
                others.append(name)  # it is there, and not one of those that are asked for any more
        if gone:
            await self._reports.reach(min(max(record.modified, since) for record in gone))
        unreported = [record for record in gone if not self._reports.of_deletion(self._company, record)]
        self.made += await maker.make(unreported, gone=True)
        await self._book.put_buried({record.resource: record.modified for record in gone})
        await self._book.put_known({}, [*others, *(record.resource for record in gone)])

    async def _is_gone(self, path: str) -> bool:
        return (await self._tools.ask(lambda: self._erp.get(path), company=self._company.name)).gone
