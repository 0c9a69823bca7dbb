"""Listing what the ERP has, page by page, although it changes meanwhile.

Pages are counted, not kept: where a record is changed or deleted while they are read, all behind it move, and one may
slip from a page that is still to come to one that was read. So several pages of changes are read again until that
brings nothing new.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

from config.errors import RouterError
from workers.erp.erp import Erp
from workers.reconcile.plan import Listed, Plan
from workers.record import Record

__all__ = ["Listing", "NoListing"]

_PASSES: Final = 4
_MOST_PAGES: Final = 100_000

Ask = Callable[[Callable[[], Awaitable[Record]]], Awaitable[Record]]
"""Makes a request, again where it has to wait for the quota or for the ERP."""
Take = Callable[[list[Listed]], Awaitable[None]]


class NoListing(RouterError):
    """What was answered is no list of records, or none that the settings can read."""


class Listing:
    """The records of a company; since: those that changed from then on (epoch ms), None for all.

    `unreadable` counts items without a number or a time, `is_settled` says whether no record can have slipped through.
    """

    def __init__(self, plan: Plan, erp: Erp, ask: Ask, since: int | None) -> None:
        self._plan = plan
        self._erp = erp
        self._ask = ask
        self._since = since
        self._seen: dict[str, int] = {}
        self.unreadable = 0
        self.is_settled = False

    async def read(self, take: Take) -> None:
        """Have each page taken, until reading them again brings nothing new. Raises ErpError, NoListing."""
        for _ in range(_PASSES):
            before = dict(self._seen)
            pages = await self.once(take)
            self.is_settled = pages == 1 or before == self._seen
            if self.is_settled:
                return

    async def once(self, take: Take) -> int:
        """Have each page taken once, and return how many there were: a record may come twice, or slip through."""
        found, most, before, self.unreadable = set[str](), 0, list[str](), 0
        for number in range(1, _MOST_PAGES):
            items = await self._page(number)
            records = self._records(items)
            await take(records)
            self._seen |= {record.resource: record.modified for record in records}
            self.unreadable += len(items) - len(records)
            names = [record.resource for record in records]
            found.update(names)
            most = max(most, _total(items))
            # An ERP may allow fewer on a page than were asked for; one that knows no pages always answers the same.
            is_last = most and len(found) + self.unreadable >= most and len(items) < self._plan.terms.page_size
            if not items or is_last or (names and names == before):
                return number if items or number == 1 else number - 1
            before = names
        raise NoListing(f"{self._plan.terms.path} has more than {_MOST_PAGES} pages: raise page_size")

    async def _page(self, number: int) -> list[Any]:
        path, asked = self._plan.terms.path, self._plan.page(number, self._since)
        record = await self._ask(lambda: self._erp.get(path, asked))
        if record.gone:
            raise NoListing(f"the ERP has no {path}: correct path")
        return _items(record.body, path)

    def _records(self, items: list[Any]) -> list[Listed]:
        read = (self._plan.read(item) if isinstance(item, dict) else None for item in items)
        records = [record for record in read if record is not None]
        if items and not records:
            terms = self._plan.terms
            fields = f"{', '.join(terms.number)} and {terms.modified}"
            raise NoListing(f"no record of {terms.path} has {fields}: correct number, modified")
        return records


def _items(body: Any, path: str) -> list[Any]:
    if body is None:
        return []
    if isinstance(body, list):
        return body
    lists = [value for value in body.values() if isinstance(value, list)] if isinstance(body, dict) else []
    if len(lists) != 1:
        raise NoListing(f"the answer to {path} is no list of records")
    return lists[0]


def _total(items: list[Any]) -> int:
    return max((_whole(found.get("totalCount")) for found in _metadata(items)), default=0)


def _metadata(items: list[Any]) -> Iterator[Mapping[str, Any]]:
    return (item["metadata"] for item in items if isinstance(item, dict) and isinstance(item.get("metadata"), dict))


def _whole(value: object) -> int:
    return value if type(value) is int and value > 0 else 0
