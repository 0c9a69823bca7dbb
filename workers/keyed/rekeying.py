"""Another way of making keys than the lines were filled by: what waits there gets its new keys, before more comes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from router.store.lines import Lines
from router.store.scripts import BATCH
from workers.consuming.context import Context
from workers.keyed.fingerprint import fingerprint
from workers.keyed.key_finder import KeyFinder
from workers.keyed.leadership import Leadership, NoLongerLeader

KEYING: Final = "keying"
"""The field of READ that names the way in which the keys were made."""
_LOOK_AGAIN = 0.2
"""Seconds until to look whether what runs has ended."""


class Rekeying:
    """Makes the keys of one subscription's lines again where that is due; no key is claimed meanwhile.

    It waits until what runs by the old keys has ended: only then two events of a new key are never handled at once. The
    worker that does it may die at any point: the next one begins again.
    """

    def __init__(self, context: Context, lines: Lines, leadership: Leadership, finder: KeyFinder) -> None:
        self._context = context
        self._lines = lines
        self._leadership = leadership
        self._finder = finder
        self._name = fingerprint(context.subscription.key)

    async def run(self) -> None:
        """Return when the keys are made by this worker's rule; raises NoLongerLeader and StoreUnavailable."""
        events, running = await self._say()
        if not events:
            return
        log = self._context.log
        log.warning("keys_made_by_another_rule", rule=self._name, events=events, waits_for_running=running)
        while running:
            await asyncio.sleep(_LOOK_AGAIN)
            events, running = await self._say()
        moved = 0
        async for share in self._moves():
            moved += _checked(await self._context.store.call(self._lines.rekey(self._leadership.token, share)))
        await self._say(done=True)
        log.info("keys_made_again", rule=self._name, moved=moved)

    async def _say(self, *, done: bool = False) -> tuple[int, int]:
        if self._leadership.lost.is_set():
            raise NoLongerLeader
        call = self._lines.keyed_by(self._leadership.token, self._name, done=done)
        events, running = _checked(await self._context.store.call(call))
        return events, running

    async def _moves(self) -> AsyncIterator[list[tuple[bytes, bytes, bytes]]]:
        """Yield the events that have another key by now, a few at a time: key, ref, new key."""
        store, start = self._context.store, b"-"
        while True:
            members = await store.command("ZRANGEBYLEX", self._lines.lines, start, "+", "LIMIT", 0, BATCH)
            if not members:
                return
            pairs = [_split(member) for member in members]
            bodies = await store.command("HMGET", self._lines.bodies, *(ref for _, ref in pairs))
            events = [(ref, body, key) for (key, ref), body in zip(pairs, bodies, strict=True) if body is not None]
            keys = await self._finder.again(events)
            rows = [(known, ref, key) for (ref, _, known), key in zip(events, keys, strict=True)]
            if share := [row for row in rows if row[0] != row[2]]:
                yield share
            start = b"(" + members[-1]


def _split(member: bytes) -> tuple[bytes, bytes]:
    key, _, ref = member.partition(b"\0")
    return key, ref


def _checked(reply: Any) -> Any:
    if reply is None:
        raise NoLongerLeader
    return reply
