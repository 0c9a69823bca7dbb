"""Deliveries that are pending with this consumer without its knowledge: the reply that brought them was lost.

The server had done the read before the connection broke, or did it afterwards, when a frozen one came back and found
the command still waiting. Such entries belong to a consumer that lives, so nobody else will ever take them over.
"""

from collections.abc import Mapping
from typing import Any

from router.store import scripts
from router.store.errors import is_no_group
from workers.consuming.context import Context
from workers.delivery import Held


class Stranded:
    """Looks through the pending entries of some sources (key: stream, inbox?) when there is reason to."""

    def __init__(self, context: Context, sources: Mapping[bytes, tuple[str, bool]]) -> None:
        self._context = context
        self._sources = sources
        self._looks = [context.monotonic() + context.settings.sweep_interval]
        self._looked = context.monotonic() - context.settings.lease

    @property
    def due(self) -> bool:
        """Whether it is time to look."""
        return self._looks[0] <= self._context.monotonic()

    def read_failed(self) -> None:
        """Look at once, and again a lease later: a frozen server may do the read after we have looked."""
        now = self._context.monotonic()
        self._looks = sorted({now, now + self._context.settings.lease, *self._looks[-1:]})

    def connected_anew(self) -> None:
        """Look at once, unless a lease has not passed since the last look: another master may answer from now on.

        It may not know what the one before had acknowledged.
        """
        now = self._context.monotonic()
        if now - self._looked >= self._context.settings.lease:
            self._looks = sorted({now, *self._looks})

    async def find(self) -> list[Held]:
        """Return the stranded deliveries, which are ours to handle. No read may be under way meanwhile."""
        now = self._looked = self._context.monotonic()
        # What is in hand now may be settled before the answer comes: it is pending in the answer, and not stranded.
        known = self._context.in_hand.places()
        found: list[Held] = []
        for key, source in self._sources.items():
            missed = [entry_id for entry_id in await self._pending(key.decode()) if (*source, entry_id) not in known]
            found += [held for entry_id in missed if (held := await self._fetch(key, entry_id))]
        self._looks = [look for look in self._looks if look > now] or [now + self._context.settings.sweep_interval]
        if found:
            self._context.log.warning("stranded_found", deliveries=len(found))
        return found

    async def _pending(self, key: str) -> list[bytes]:
        context = self._context
        ids: list[bytes] = []
        start = "-"
        while True:
            call = scripts.pending(key, context.group, context.consumer, start)
            page = (await context.store.run([call]))[0]
            if isinstance(page, BaseException):
                if is_no_group(page):
                    return ids
                raise page
            ids += page
            if len(page) < scripts.BATCH:
                return ids
            start = f"({page[-1].decode()}"

    async def _fetch(self, key: bytes, entry_id: bytes) -> Held | None:
        context = self._context
        stream, inbox = self._sources[key]
        entries: Any = await context.store.command("XRANGE", key, entry_id, entry_id)
        if entries:
            return Held(stream, entry_id, entries[0][1], inbox=inbox, touched=0.0)
        await context.store.command("XACK", key, context.group, entry_id)
        context.metrics.gone.labels(context.group).inc()
        context.log.error("entries_gone", stream=stream, entries=1)
        return None
