"""Lines of which somebody deleted a part manually, or a failover took the last writes: found, and made whole again."""

import asyncio
from collections.abc import Mapping, Sequence

from router.store.errors import StoreRefused
from router.store.lines import Lines
from router.store.scripts import BATCH
from workers.consuming.context import Context
from workers.keyed.key_finder import NOBODY, KeyFinder
from workers.keyed.leadership import Leadership, NoLongerLeader

_OFTEN = 30.0
"""Seconds from one look to the next, at most."""
_KEYS = 1000
"""Keys to look at each time."""


class Mending:
    """Looks at the lines of one subscription now and then, a bounded number of keys each time.

    What has its body still gets back into its line, and each key that has events to where it is claimed.
    """

    def __init__(self, context: Context, lines: Lines, leadership: Leadership, finder: KeyFinder) -> None:
        self._context = context
        self._lines = lines
        self._leadership = leadership
        self._finder = finder
        self._after = b""

    async def run(self, brought: Mapping[str, str]) -> None:
        """Look until something is wrong with what was `brought`, the last place by source: then NoLongerLeader.

        Raises StoreUnavailable, too.
        """
        while True:
            try:
                await self.look()
            except StoreRefused as error:  # as the ACL of an older version does: events are brought all the same
                self._context.outage.failed("mending the lines", error)
            await asyncio.sleep(min(_OFTEN, self._context.settings.sweep_interval))
            await self._check(dict(brought))

    async def look(self) -> None:
        """Mend what is found in one look, and go on until nothing more is."""
        restored, mended = await self._restore(), 0
        while True:
            self._after, found = await self._mend()
            mended += found
            if not (found or (restored and self._after)):
                break
        if restored or mended:
            self._context.log.warning("lines_mended", events_put_back=restored, places=mended)

    async def _mend(self) -> tuple[bytes, int]:
        subscription, lease = self._context.subscription, round(self._context.settings.lease * 1000)
        limit = subscription.per_company or 0
        call = self._lines.mend(self._leadership.token, lease, self._after, _KEYS, per_company=limit)
        reply = await self._context.store.call(call)
        if reply is None:
            raise NoLongerLeader
        after, mended = reply
        return after, mended

    async def _check(self, brought: Mapping[str, str]) -> None:
        """Raise NoLongerLeader where the lines do not know any more what they were brought: it is brought again."""
        if not brought:
            return
        known = await self._context.store.command("HMGET", self._lines.read, *brought)
        if any((place or b"").decode() < last for place, last in zip(known, brought.values(), strict=True)):
            self._context.log.warning("lines_lost_writes")
            raise NoLongerLeader

    async def _restore(self) -> int:
        """Put events into their lines that are in none, though there are bodies of them; return how many."""
        store, lines = self._context.store, self._lines
        bodies = await store.command("HLEN", lines.bodies)
        if bodies <= await store.command("ZCARD", lines.lines):
            return 0
        self._after, cursor, restored = b"", 0, 0
        while True:
            cursor, found = await store.command("HSCAN", lines.bodies, cursor, "COUNT", BATCH)
            rows = [*found.items()]
            for first in range(0, len(rows), BATCH):
                restored += await self._put(rows[first : first + BATCH])
            if not int(cursor):
                return restored

    async def _put(self, rows: Sequence[tuple[bytes, bytes]]) -> int:
        keys = await self._finder.again([(ref, body, NOBODY + ref) for ref, body in rows])
        events = [(key, ref) for key, (ref, _) in zip(keys, rows, strict=True)]
        reply = await self._context.store.call(self._lines.restore(self._leadership.token, events))
        if reply is None:
            raise NoLongerLeader
        return int(reply)
