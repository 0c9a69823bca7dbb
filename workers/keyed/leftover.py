"""Lines of a subscription that has no key any more: their events go back to where unkeyed workers find them."""

import asyncio
import secrets
from collections.abc import Coroutine, Sequence
from itertools import count
from typing import Any, Final

from router.store.errors import STORE_ERRORS, StoreRefused
from router.store.keys import LINES
from router.store.lines import Claim, Lines
from router.store.reading import checked
from router.store.record import REASON
from router.store.scripts import BATCH
from router.tasks.backoff import Backoff
from workers.consuming.consumer import Consumer
from workers.consuming.context import Context
from workers.keyed.entry import LineHeld
from workers.keyed.line_moves import burial
from workers.keyed.rekeying import KEYING

_AT_ONCE: Final = 50
"""Events to move in one go: their bodies may be large."""
_LEASE: Final = 6000
"""Milliseconds for which what is being moved is kept from other workers."""


class UnkeyedConsumer(Consumer):
    """Handles what is in the streams; and takes along what was in the lines while the subscription had a key."""

    def _keepers(self) -> list[Coroutine[Any, Any, None]]:
        return [*super()._keepers(), Leftover(self.context).run()]


class Leftover:
    """Moves what the lines hold into the inboxes, key by key in order, at least once.

    One worker does it at a time, and none while workers of the keyed subscription live: these have the lease of the
    lines, and handle what is there. A retry stays in its line until it is due.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lines = Lines(context.keys, context.group)
        self._token = f"{context.consumer}/{secrets.token_hex(4)}/"
        self._claims = (f"{self._token}{number}" for number in count())

    async def run(self) -> None:
        """Look at once, and then as often as there may be something to move, until cancelled."""
        backoff = Backoff(self._context.random)
        while True:
            try:
                seconds = await self.look()
                backoff.reset()
            except STORE_ERRORS as error:
                self._context.outage.failed("emptying the lines", error)
                refused = isinstance(error, StoreRefused)  # as the ACL of an older version does
                seconds = self._context.settings.sweep_interval if refused else backoff.next()
            else:
                self._context.outage.over("emptying the lines")
            await asyncio.sleep(seconds)

    async def look(self) -> float:
        """Move what can be moved now; return in how many seconds to look again. Raises StoreUnavailable."""
        context, sweep = self._context, self._context.settings.sweep_interval
        if not await context.store.command("EXISTS", *self._lines.keys):
            return sweep * context.random.uniform(0.75, 1.25)
        has_it, left = await self._lead()
        if not has_it:
            return max(0.0, left / 1000) + context.random.uniform(0.05, 0.25)
        # The group goes on without the lines: what they have read says nothing to a keyed worker that comes back.
        sources = (key for _, _, key in context.sources())
        await context.store.command("HDEL", self._lines.read, KEYING, *sources)
        await self._let_all_go()
        moved, wait = await self._empty()
        if moved:
            context.log.info("lines_moved", events=moved)
        if await context.store.call(self._lines.clear(self._token)):
            context.log.info("lines_emptied")
            return sweep
        await context.store.call(self._lines.resign(self._token))
        return min(sweep, wait) + context.random.uniform(0.05, 0.25)

    async def _lead(self) -> tuple[int, int]:
        has_it, left, *_ = await self._context.store.call(self._lines.lead(self._token, _LEASE))
        return has_it, left

    async def _let_all_go(self) -> None:
        """Release the keys and the companies that wait for an operator: unkeyed events do not wait for one another."""
        store = self._context.store
        held, stopped = (self._lines.keys[LINES.index(name)] for name in ("held", "stopped"))
        while keys := await store.command("ZRANGE", held, 0, BATCH - 1):
            await store.call(self._lines.release(keys))
        for company in await store.command("ZRANGE", stopped, 0, -1):
            await store.call(self._lines.resume(company))

    async def _empty(self) -> tuple[int, float]:
        """Move what is ready, until nothing is; return how many events that were, and in how many seconds to go on."""
        context = self._context
        await context.store.call(self._lines.abandon(f"{context.consumer}/", charged=False))
        moved = 0
        while (await self._lead())[0]:
            token = next(self._claims)
            rows, wait, *_ = await context.store.call(self._lines.claim(token, _AT_ONCE, _LEASE))
            if not rows:
                return moved, context.settings.sweep_interval if wait < 0 else wait / 1000
            await self._move([self._held(token, row) for row in rows])
            moved += len(rows)
        return moved, 0.0

    def _held(self, token: str, row: Sequence[Any]) -> LineHeld:
        key, ref, crashes, body, _ = row
        claim, now = Claim(key, token), self._context.monotonic()
        return LineHeld(claim, ref, body or b"", crashes, (), now=now, clock=self._context.clock())

    async def _move(self, items: Sequence[LineHeld]) -> None:
        """Bring events into their inboxes, or to the dead letters where that was their end; then out of the lines."""
        context = self._context
        doomed = [held for held in items if REASON in held.fields]
        burials = [burial(context.keys, context.group, held, held.moved()) for held in doomed]
        free = [held for held in items if REASON not in held.fields]
        commands = [("XADD", context.keys.inbox(held.stream, context.group), "*", *held.placed()) for held in free]
        replies = [*(await context.store.run(burials) if burials else [])]
        replies += await context.store.commands(commands) if commands else []
        await self._let_go([*doomed, *free], replies)
        checked(replies)

    async def _let_go(self, items: Sequence[LineHeld], replies: Sequence[Any]) -> None:
        """End those that are elsewhere now, and give the others back: what is moved must not be moved once more."""
        pairs = [*zip(items, replies, strict=True)]
        moved = [held for held, reply in pairs if not isinstance(reply, BaseException)]
        kept = [held for held, reply in pairs if isinstance(reply, BaseException)]
        calls = [self._lines.settle([(held.claim, held.refs) for held in moved])] if moved else []
        checked(await self._context.store.run([*calls, *(self._lines.back(held.claim) for held in kept)]))
