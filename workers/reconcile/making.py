"""Making events of what a sweep found, on the way that webhooks take: one append, with its deduplication."""

from collections.abc import Iterable

from config.reconcile import Company
from router.intake.entry import entry_of
from router.store.reading import checked
from router.telemetry import logs
from workers.reconcile.plan import Listed, Plan
from workers.reconcile.tools import Tools

__all__ = ["Maker"]

_log = logs.get("reconcile")


class Maker:
    """Makes the events of one company."""

    def __init__(self, plan: Plan, company: Company, tools: Tools) -> None:
        self._plan = plan
        self._company = company
        self._tools = tools

    async def make(self, records: Iterable[Listed], *, gone: bool = False) -> int:
        """Append the events of records that changed, or are gone; return how many are new. Raises StoreUnavailable."""
        now, batch, slug = self._tools.now(), self._tools.batch, self._plan.publisher.slug
        in_order = sorted(records, key=lambda record: record.modified)
        items = [self._plan.notice(self._company, record, gone_at=now if gone else None) for record in in_order]
        # Where every webhook of a publisher is stored, the event of a sweep is one webhook, however often it is made.
        repeats, keys = batch.windows.repeats(slug), self._tools.store.keys
        entries = [entry_of(keys, slug, item, now, b"", item.id if repeats else "") for item in items]
        made = sum(map(bool, checked(await batch.append(entries)))) if entries else 0
        metrics, names = self._tools.metrics, {"reconciliation": self._plan.name, "company": self._company.name}
        (metrics.deleted if gone else metrics.repaired).labels(self._plan.name).inc(made)
        if made:
            _log.warning("deletions_repaired" if gone else "changes_repaired", **names, events=made)
        return made
