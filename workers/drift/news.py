"""Which streams have something new: one read that blocks over all of them, and not a question now and then."""

import asyncio
from collections.abc import Mapping

from router.store.client import Store
from router.store.errors import StoreRefused, is_spoilt
from router.store.read_connection import ReadConnection

__all__ = ["News"]


class News:
    """Waits for entries behind these; `block` in seconds.

    On a Cluster, where one read keeps to one slot, and where a key holds something else than a stream, all are asked
    after that time.
    """

    def __init__(self, store: Store, block: float) -> None:
        self._store = store
        self._block = block
        self._connection: ReadConnection | None = None

    async def wait(self, last: Mapping[str, str]) -> list[str]:
        """Return which of these streams have entries behind the last ones, after `block` at most."""
        keys = {self._store.keys.events(stream): stream for stream in last}
        if self._store.cluster or not keys:
            await asyncio.sleep(self._block)
            return await self._ask(keys, last)
        self._connection = self._connection or ReadConnection(
            self._store, next(iter(keys)), self._block, unblockable=False
        )
        try:
            block = ("BLOCK", int(self._block * 1000))
            reply = await self._connection.run("XREAD", "COUNT", 1, *block, "STREAMS", *keys, *last.values())
        except StoreRefused as error:
            if not is_spoilt(error):
                raise
            await asyncio.sleep(self._block)
            return await self._ask(keys, last)
        return [keys[key.decode()] for key in reply or {}]

    async def aclose(self) -> None:
        """Wait for nothing any more."""
        if self._connection is not None:
            await self._connection.aclose()
            self._connection = None

    async def _ask(self, keys: Mapping[str, str], last: Mapping[str, str]) -> list[str]:
        commands = [("XREVRANGE", key, "+", f"({last[stream]}", "COUNT", 1) for key, stream in keys.items()]
        replies = await self._store.commands(commands) if commands else []
        for reply in replies:
            if isinstance(reply, BaseException) and not is_spoilt(reply):
                raise reply
        found = zip(keys.values(), replies, strict=True)
        return [stream for stream, reply in found if reply and not isinstance(reply, BaseException)]
