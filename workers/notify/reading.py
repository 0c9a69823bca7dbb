"""The notices of one notifier: its group of the stream, read by the one process that has its lease.

All processes read under one name, so that whichever has the lease finds what the one before it had in hand.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from router.store.client import Store
from router.store.errors import is_refusal
from router.store.read_connection import ReadConnection
from router.store.reading import order_of
from router.store.watched.incidents import group_of
from workers.incidents.incident import notice_of
from workers.notify.message import Notice

__all__ = ["Notices"]

_PAGE: Final = 200
_READER: Final = "notifier"
_BACK: Final = 3600
"""Seconds before now at which a new group begins: what began just before a notifier was set is of interest to it."""

Entry = tuple[str, Notice | None]
"""An entry's id, and what it says; None for one that was trimmed before it was handed over, or says nothing."""


class Notices:
    """What waits for one notifier; every method raises StoreUnavailable. `block`: seconds that a read waits."""

    def __init__(self, store: Store, notifier: str, block: float) -> None:
        self._store = store
        self._key = store.keys.notices()
        self._group = group_of(notifier)
        self._block = block
        self._connection = ReadConnection(store, self._key, block, unblockable=False)

    async def aclose(self) -> None:
        """Close the connection of reads that wait."""
        await self._connection.aclose()

    async def begin(self, now: int) -> None:
        """Make the group, where there is none; `now` in epoch milliseconds."""
        start = f"{max(0, now - _BACK * 1000)}-0"
        try:
            await self._store.command("XGROUP", "CREATE", self._key, self._group, start, "MKSTREAM")
        except Exception as error:
            if not (is_refusal(error) and "BUSYGROUP" in str(error)):
                raise

    async def held(self, most: int) -> list[Entry]:
        """Return what was read and is not done, oldest first: at most so many."""
        found: list[Entry] = []
        after = "0"
        while len(found) < most:
            page = _entries(await self._store.command(*self._read(min(_PAGE, most - len(found)), after)))
            if not page:
                break
            found += page
            after = page[-1][0]
        return found

    async def waited(self) -> list[Entry]:
        """Return what comes next, as soon as there is something; nothing where nothing comes for a while."""
        block = ("BLOCK", int(self._block * 1000))
        return _entries(await self._connection.run(*self._read(_PAGE, ">", *block)))

    async def more(self, most: int) -> list[Entry]:
        """Return what there is besides, at most so many."""
        found: list[Entry] = []
        while len(found) < most:
            page = _entries(await self._store.command(*self._read(min(_PAGE, most - len(found)), ">")))
            if not page:
                break
            found += page
        return found

    async def done(self, ids: Sequence[str]) -> None:
        """Have these wait no more."""
        for start in range(0, len(ids), _PAGE):
            await self._store.command("XACK", self._key, self._group, *ids[start : start + _PAGE])

    def _read(self, count: int, after: str, *how: Any) -> tuple[Any, ...]:
        return ("XREADGROUP", "GROUP", self._group, _READER, "COUNT", count, *how, "STREAMS", self._key, after)


def _entries(reply: Any) -> list[Entry]:
    streams: Iterable[Any] = reply.values() if isinstance(reply, dict) else (entries for _, entries in reply or ())
    return [
        (entry_id.decode(), _notice(entry_id.decode(), fields)) for stream in streams for entry_id, fields in stream
    ]


def _notice(entry_id: str, fields: dict[bytes, bytes] | None) -> Notice | None:
    incident = notice_of(fields or {})
    return None if incident is None else Notice(entry_id, order_of(entry_id)[0], incident)
