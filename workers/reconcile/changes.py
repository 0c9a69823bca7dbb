"""What changed in a company, and no webhook reported."""

from collections.abc import Mapping, Sequence
from typing import Final

from config.reconcile import Company
from workers.reconcile.making import Maker
from workers.reconcile.plan import Listed
from workers.reconcile.reports import Reports
from workers.reconcile.tools import Tools

__all__ = ["Changes"]

_AT_ONCE: Final = 2000
"""Changes that are kept in memory before their events are made."""


class Changes:
    """Judges the changes since some time (epoch ms); `judged` are those of the sweep before, near its cursor.

    `wait`: for how many seconds a webhook may still come once a change was seen. `listed`, `reported` and `made` count
    the changes that were judged, those that a webhook reported, and the events that were made of others.
    """

    def __init__(
        self,
        company: Company,
        tools: Tools,
        reports: Reports,
        maker: Maker,
        since: int,
        judged: Mapping[str, int],
        wait: float,
    ) -> None:
        self._company = company
        self._tools = tools
        self._reports = reports
        self._maker = maker
        self._since = since
        self._judged = judged
        self._wait = wait
        self._open: dict[str, Listed] = {}
        self._opened_at = 0.0
        self.seen: dict[str, int] = {}
        self.newest = 0
        self.listed = self.reported = self.made = 0

    async def take(self, records: Sequence[Listed]) -> None:
        """Judge the records of a page; raises StoreUnavailable."""
        changed = [record for record in records if self._is_new(record)]
        self.seen |= {record.resource: record.modified for record in changed}
        self.newest = max([self.newest, *(record.modified for record in records)])
        if not changed:
            return
        self.listed += len(changed)
        unreported = await self._unreported(changed)
        if unreported and not self._open:
            self._opened_at = self._tools.clock()
        self._open |= {record.resource: record for record in unreported}
        if len(self._open) >= _AT_ONCE:
            await self.make()

    async def make(self) -> None:
        """Make the events of the changes that no webhook reports in time; raises StoreUnavailable."""
        if self._open:
            if (left := self._wait - (self._tools.clock() - self._opened_at)) > 0:
                await self._tools.sleep(left)
            self.made += await self._maker.make(await self._unreported(list(self._open.values())))
            self._open.clear()
        self.reported = self.listed - self.made

    def _is_new(self, record: Listed) -> bool:
        """Return whether a record was not judged yet as it is now, by this sweep or the one before."""
        known = (self.seen.get(record.resource), self._judged.get(record.resource))
        return record.modified >= self._since and record.modified not in known

    async def _unreported(self, records: Sequence[Listed]) -> list[Listed]:
        await self._reports.reach(min(record.modified for record in records))
        return [record for record in records if not self._reports.of_change(self._company, record)]
