"""Following streams: their new entries as they come, by reads that block, for as long as it is wanted.

A store that goes away is waited for, and what came meanwhile is read when it is back: each stream is read on from the
last entry that was seen of it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from random import Random
from typing import Any

from redis.asyncio import Redis

from router.store.client import Store
from router.store.errors import STORE_ERRORS, forgiven, is_spoilt, ours
from router.store.reading import BUDGET, Entry, Pager
from router.tasks.backoff import Backoff
from router.tasks.ending import end

_AHEAD = 16  # entries that nobody has taken yet, each of which may be large


class Following:
    """New entries of streams; `block` is how long one read waits, in seconds.

    It calls `away` with the error when the store cannot be read any more, and with None when it can again. A key that
    holds something else than a stream is left out, and looked at again after each read.
    """

    def __init__(self, store: Store, away: Callable[[BaseException | None], None], block: float = 10.0) -> None:
        self._store = store
        self._away = away
        self._block = block
        self._random = Random()  # noqa: S311 - jitter
        self._failing: set[str] = set()
        self._places: dict[str, dict[str, str]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._found: asyncio.Queue[tuple[str, Entry]] = asyncio.Queue(_AHEAD)

    def add(self, cursors: Mapping[str, str]) -> None:
        """Follow these keys too, each from after an entry id on; keys that are followed already are ignored."""
        for key, entry_id in cursors.items():
            place = self._place(key)
            if place not in self._places:
                self._places[place] = {key: entry_id}
                self._tasks.append(asyncio.create_task(self._read(place)))
            self._places[place].setdefault(key, entry_id)

    async def entries(self) -> AsyncIterator[tuple[str, Entry]]:
        """Yield the key and the entry of each new one, of each stream in its order, without an end."""
        while True:
            taking = asyncio.create_task(self._found.get())
            try:
                done, _ = await asyncio.wait([taking, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
                if ended := done.intersection(self._tasks):  # by a fault of ours alone, which must not go unseen
                    await asyncio.gather(*ended)
                found = taking.result()
            finally:
                taking.cancel()
            yield found

    async def aclose(self) -> None:
        """Follow nothing any more."""
        await end(self._tasks)

    def _place(self, key: str) -> str:
        """Return what the keys have in common that one read may have: on a Cluster, the hash tag."""
        return key.partition("{")[2].partition("}")[0] if self._store.cluster else ""

    async def _read(self, place: str) -> None:
        backoff, cursors = Backoff(self._random), self._places[place]
        pager = Pager(BUDGET)
        client: Redis | None = None
        spoilt = False
        try:
            while True:
                try:
                    client = client or await self._store.reader(next(iter(cursors)), self._block)
                    readable = await self._readable(cursors) if spoilt else cursors
                    found = await self._new(client, readable, pager)
                    spoilt = len(readable) < len(cursors)
                except STORE_ERRORS as error:
                    if is_spoilt(error) and not spoilt:
                        spoilt = True
                        continue
                    self._say(place, ours(error))
                    await _closed(client)
                    client = None
                    await asyncio.sleep(backoff.next())
                    continue
                self._say(place, None)
                backoff.reset()
                for key, entry in found:
                    await self._found.put((key, entry))
                    cursors[key] = entry[0].decode()
        finally:
            await _closed(client)

    async def _new(self, client: Redis, cursors: Mapping[str, str], pager: Pager) -> list[tuple[str, Entry]]:
        if not cursors:
            await asyncio.sleep(self._block)
            return []
        block = int(self._block * 1000)
        command = ("XREAD", "COUNT", pager.count, "BLOCK", block, "STREAMS", *cursors, *cursors.values())
        found = _entries(await client.execute_command(*command))  # type: ignore[no-untyped-call]
        pager.took([entry for _, entry in found], len({key for key, _ in found}))
        return found

    async def _readable(self, cursors: Mapping[str, str]) -> Mapping[str, str]:
        """Return those that can be read."""
        keys = list(cursors)
        lengths = forgiven(await self._store.commands([("XLEN", key) for key in keys]), keys, None)
        return {key: cursors[key] for key, length in zip(keys, lengths, strict=True) if length is not None}

    def _say(self, place: str, error: BaseException | None) -> None:
        """Tell the first of the places that fails, and when none fails any more."""
        failing = bool(self._failing)
        if error is not None:
            self._failing.add(place)
        else:
            self._failing.discard(place)
        if failing is not bool(self._failing):
            self._away(error)


def _entries(reply: Any) -> list[tuple[str, Entry]]:
    """Return the entries of a reply, which is a mapping or a list of pairs."""
    streams = reply.items() if isinstance(reply, Mapping) else reply or ()
    return [(key.decode(), (entry_id, fields)) for key, entries in streams for entry_id, fields in entries]


async def _closed(client: Redis | None) -> None:
    if client is not None:
        with contextlib.suppress(*STORE_ERRORS):
            await client.aclose()
