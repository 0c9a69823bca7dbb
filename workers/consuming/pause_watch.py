"""Keeping to the pauses of a subscription in one worker: it waits for word of one, holds, and goes on afterwards.

A pause is heard of at once, by a read that blocks; what is missed is made up for by looking again.
"""

import asyncio
from collections.abc import Awaitable, Callable

from router.store.errors import STORE_ERRORS, StoreRefused
from router.store.read_connection import ReadConnection
from router.tasks.backoff import Backoff
from workers.consuming.context import Context
from workers.state.pauses import Pause, confirm, paused

_BLOCK = 15.0
"""Seconds to wait for word before looking: the store may have forgotten the pause, or the connection died silently."""
_LEAST = 0.001


class PauseWatch:
    """Calls `hold` once the subscription is paused, and `go_on` once it is no longer; `pause` is what holds now.

    `hold` returns when nothing is taken on any more; then the pause is confirmed. While the store is away a pause
    holds on.
    """

    def __init__(self, context: Context, hold: Callable[[], Awaitable[None]], go_on: Callable[[], None]) -> None:
        self._context = context
        self._hold = hold
        self._go_on = go_on
        key = context.keys.pause(context.group)
        self._connection = ReadConnection(context.store, key, _BLOCK)
        self._key = key
        self._seen = "0-0"
        self._confirmed: str | None = None
        self.pause: Pause | None = None

    async def run(self) -> None:
        """Look and wait until cancelled, whatever happens to the store."""
        backoff = Backoff(self._context.random)
        try:
            while True:
                try:
                    await self.look()
                    await self._wait()
                    backoff.reset()
                    self._context.outage.over("watching for pauses")
                except STORE_ERRORS as error:
                    self._context.outage.failed("watching for pauses", error)
                    await asyncio.sleep(_BLOCK if isinstance(error, StoreRefused) else backoff.next())
        finally:
            await self._connection.aclose()

    async def begin(self) -> None:
        """Look before the first delivery is taken; raises StoreUnavailable, but not where the store refuses to tell."""
        try:
            await self.look()
        except StoreRefused as error:  # as the ACL of an older version does
            self._context.log.warning("pauses_not_readable", error=str(error), advice="allow the keys of docs/redis.md")

    async def look(self) -> None:
        """Ask the store whether the subscription is paused, and see to it; raises StoreUnavailable."""
        context = self._context
        found = (await paused(context.store, [context.group])).get(context.group)
        before, self.pause = self.pause, found
        if found is None:
            if before is not None:
                context.log.warning("subscription_resumed", paused_since=before.since.isoformat())
                self._seen = "0-0"  # the next pause may have a lower number: the store's clock may be another then
                self._go_on()
            return
        if before is None:
            context.log.warning("subscription_paused", by=found.by, reason=found.reason, until=str(found.until or ""))
            await self._hold()
        if self._confirmed != found.entry_id:
            await confirm(context.store, context.group, context.consumer, found)
            self._confirmed = found.entry_id

    async def _wait(self) -> None:
        """Return when there is word, or the time of the pause is over, or it is time to look again."""
        left = self.pause.seconds_left if self.pause else None
        block = _BLOCK if left is None else min(_BLOCK, max(_LEAST, left))
        while not (reply := await self._connection.run(*self._read(block))):
            if self.pause is not None or await self._context.store.command("EXISTS", self._key):
                return
        for entries in reply.values():
            self._seen = entries[-1][0].decode()

    def _read(self, block: float) -> tuple[str | int, ...]:
        return ("XREAD", "BLOCK", int(block * 1000) or 1, "STREAMS", self._key, self._seen)
