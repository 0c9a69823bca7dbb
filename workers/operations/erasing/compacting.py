"""Writing streams again, so that nothing stays of what was removed from them.

A server only marks an entry that is removed: its bytes stay in memory, in replicas and in files, for as long as the
node lasts that it shares with others. So each stream from which anything was ever removed is copied, in steps of a
bounded size, and the copy takes its place in one.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from router.store import scripts
from router.store.client import Store
from router.store.errors import is_refusal
from router.store.reading import checked, named_values, order_of
from router.store.record import Fields

__all__ = ["Compacting"]

_BYTES: Final = 1024 * 1024
"""Bytes to copy in one step, unless one entry has more: a script blocks the whole server while it runs."""
_FIRST: Final = 8
_PAGES: Final = 20
_IN_HAND: Final = 20_000
_TRIES: Final = 10
_WAIT: Final = 0.05
_SWAPPED, _MORE = 1, 0


class Compacting:
    """Writes the streams of one store again."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def compact(self, key: str, replaced: Mapping[str, tuple[Fields, Fields]] | None = None) -> bool:
        """Write a stream again, with other fields for some entries (those that each has, and new ones); return if done.

        It is not where it changes faster than it can be copied; its entries are untouched then. Raises
        StoreUnavailable, and where the server has no memory for the copy StoreRefused.
        """
        if not replaced and not await self._is_needed(key):
            return True
        copied = self._store.keys.copied(key)
        for _ in range(_TRIES):
            await self._store.command("UNLINK", copied)
            try:
                if await self._copy(key, copied, replaced or {}) and await self._swap(key, copied):
                    return True
            except BaseException:
                await self._store.commands([("UNLINK", copied)])
                raise
            await asyncio.sleep(_WAIT)
        await self._store.command("UNLINK", copied)
        return False

    async def _is_needed(self, key: str) -> bool:
        """Return whether anything was ever removed from a stream that has something; where nobody knows, it was."""
        (reply,) = await self._store.commands([("XINFO", "STREAM", key)])
        if is_refusal(reply):  # there is none, or it is something else
            return False
        found = {_text(name): value for name, value in named_values(checked([reply])[0]).items()}
        return bool(found["length"]) and found.get("entries-added") != found["length"]

    async def _copy(self, key: str, copied: str, replaced: Mapping[str, tuple[Fields, Fields]]) -> bool:
        """Copy all of it; return whether the entries to replace are as they were."""
        for entry_id in sorted(replaced, key=order_of):
            was, fields = map(_parts, replaced[entry_id])
            if not await self._copy_until(key, copied, entry_id, was, fields):
                return False
        return await self._copy_until(key, copied, "+")

    async def _copy_until(
        self, key: str, copied: str, upto: str, was: Sequence[bytes] = (), fields: Sequence[bytes] = ()
    ) -> bool:
        count = _FIRST
        while True:
            number, size = await self._store.call(scripts.copy(key, copied, count, upto, was, *fields))
            if number < count:
                return bool(number >= 0)
            count = max(1, min(scripts.BATCH, _BYTES * number // max(1, size), count * 4))

    async def _swap(self, key: str, copied: str) -> bool:
        for _ in range(_TRIES):
            reply: Any = await self._store.call(scripts.swap(key, copied, _PAGES, _IN_HAND))
            if reply == _SWAPPED:
                return True
            if reply != _MORE:
                return False
            await self._copy_until(key, copied, "+")
        return False


def _parts(fields: Fields) -> list[bytes]:
    return [part for pair in fields.items() for part in pair]


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
