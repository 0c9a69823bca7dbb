"""Lines of which somebody deleted a part manually, or a failover took the last writes: found, and made whole again."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

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
        found, is_lacking = await self._mend()
        restored, mended = 0, found
        if is_lacking and (restored := await self._restore()):
            self._after, found = b"", restored
        while found or (restored and self._after):
            found, _ = await self._mend()
            mended += found
        if restored or mended:
            self._context.log.warning("lines_mended", events_put_back=restored, places=mended)

    async def _mend(self) -> tuple[int, bool]:
        """Mend the next keys; return how much that was, and whether there are bodies of events that are in no line."""
        subscription, lease = self._context.subscription, round(self._context.settings.lease * 1000)
        limit = subscription.per_company or 0
        call = self._lines.mend(self._leadership.token, lease, self._after, _KEYS, per_company=limit)
        reply = await self._context.store.call(call)
        if reply is None:
            raise NoLongerLeader
        self._after, mended, lacking = reply
        return mended, lacking > 0

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
        store, restored = self._context.store, 0
        lacking = sorted(await self._in_no_line())
        for first in range(0, len(lacking), BATCH):
            refs = lacking[first : first + BATCH]
            bodies = await store.command("HMGET", self._lines.bodies, *refs)
            restored += await self._put([row for row in zip(refs, bodies, strict=True) if row[1] is not None])
        return restored

    async def _in_no_line(self) -> set[bytes]:
        """Return the refs of events that have a body and stand in no line, whatever their key is by now."""
        store, lines, refs = self._context.store, self._lines, set[bytes]()
        cursor: Any = None
        while cursor is None or int(cursor):
            cursor, found = await store.command("HSCAN", lines.bodies, cursor or 0, "COUNT", BATCH)
            refs.update(found)
        start = b"-"  # afterwards: what has come meanwhile is in its line by now
        while members := await store.command("ZRANGEBYLEX", lines.lines, start, "+", "LIMIT", 0, _KEYS):
            refs.difference_update(member.partition(b"\0")[2] for member in members)
            start = b"(" + members[-1]
        return refs

    async def _put(self, rows: Sequence[tuple[bytes, bytes]]) -> int:
        keys = await self._finder.again([(ref, body, NOBODY + ref) for ref, body in rows])
        events = [(key, ref) for key, (ref, _) in zip(keys, rows, strict=True)]
        reply = await self._context.store.call(self._lines.restore(self._leadership.token, events))
        if reply is None:
            raise NoLongerLeader
        return int(reply)
