"""What webhooks have reported of each record: read from the streams, for all companies of a reconciliation at once.

A webhook reports a change if it says that it happened then or later, and came after the change: a handler that fetched
the record because of it saw the change. In doubt none has reported it: an event too many does no harm.

A store may lose its last second, as one that fails over does: what was read in that is forgotten, and read again.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from config.reconcile import Company
from router.events.catalogue import Catalogue
from router.events.event import Event
from router.events.fields import UnreadableEvent
from router.store.client import Store
from router.store.reading import Span, forward
from router.store.record import read_event
from workers.reconcile.plan import DELETED, Listed
from workers.reconcile.tails import lost_tails

__all__ = ["Reports"]

_EARLIER: Final = 300_000
"""Milliseconds by which the server's clock may be behind: entries are found by its time."""
_ROUNDING: Final = 1_000
"""Milliseconds by which a webhook may date a change earlier than the record does: both are rounded."""
_MOST: Final = 200_000
"""Records that are remembered, before the memory is made again of what is still asked for."""
_WORTH_IT: Final = 600_000
"""Milliseconds that this has to leave out."""


class _Word(NamedTuple):
    """One webhook: the company it names, when it happened and when it came (epoch ms), whether the record was gone."""

    company: str | None
    occurred: int
    received: int
    deleted: bool


class Reports:
    """What the streams say since some time; `own` is the tenant of events that name none."""

    def __init__(self, store: Store, catalogue: Catalogue, streams: Sequence[str], own: str = "") -> None:
        self._store = store
        self._catalogue = catalogue
        self._streams = streams
        self._own = own.casefold()
        self._since: int | None = None
        self._last: dict[str, str] = {}
        self._words: dict[tuple[str, str], list[_Word]] = {}
        self._reading = asyncio.Lock()

    async def reach(self, since: int) -> None:
        """Read what came since then (epoch milliseconds) up to now; raises StoreUnavailable."""
        since -= _EARLIER
        async with self._reading:
            if await lost_tails(self._store, self._last):
                self._last.clear()
                self._words.clear()
            is_full = len(self._words) > _MOST and self._since is not None and since > self._since + _WORTH_IT
            if self._since is None or since < self._since or is_full:
                self._since, self._last = since, {}
                self._words.clear()
            for stream in self._streams:
                await self._read(stream, self._since)

    def of_change(self, company: Company, record: Listed) -> bool:
        """Return whether a webhook has reported the last change of a record."""
        return any(
            word.occurred >= record.modified - _ROUNDING and word.received >= record.modified
            for word in self._about(company, record)
        )

    def of_deletion(self, company: Company, record: Listed) -> bool:
        """Return whether an event has reported that a record is gone, since its last change."""
        return any(word.deleted and word.received >= record.modified for word in self._about(company, record))

    async def _read(self, stream: str, since: int) -> None:
        first = f"({self._last[stream]}" if stream in self._last else str(max(0, since))
        async for entry_id, fields in forward(self._store, self._store.keys.events(stream), Span(first, "+")):
            with suppress(UnreadableEvent):
                self._note(read_event(self._catalogue, stream, fields))
            self._last[stream] = entry_id.decode()
            await asyncio.sleep(0)

    def _note(self, event: Event) -> None:
        if event.resource is None:
            return
        received = int(event.received_at.timestamp() * 1000)
        occurred = received if event.occurred_at is None else int(event.occurred_at.timestamp() * 1000)
        said = _Word(event.company_id, occurred, received, event.action == DELETED)
        words = self._words.setdefault((event.resource, (event.tenant_id or "").casefold()), [])
        if not any(_says_more(word, said) for word in words):
            words[:] = [*(word for word in words if not _says_more(said, word)), said]

    def _about(self, company: Company, record: Listed) -> Iterator[_Word]:
        tenant = company.tenant.casefold()
        tenants = (tenant, "") if tenant == self._own else (tenant,)
        for name in tenants:
            for word in self._words.get((record.resource, name), ()):
                if company.company is None or word.company in (None, company.company):
                    yield word


def _says_more(one: _Word, other: _Word) -> bool:
    """Return whether one reports all changes that the other reports."""
    same = one.company == other.company and one.deleted == other.deleted
    return same and one.occurred >= other.occurred and one.received >= other.received
