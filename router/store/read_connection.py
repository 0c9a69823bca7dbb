"""A connection of its own for reads that block, and the one way to end such a read.

A blocked read is never cancelled: the server may have handed out entries that nobody would then receive. It is ended
by the server, which knows a connection by its number.
"""

import asyncio
import contextlib
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from router.store.client import Store
from router.store.connection_kinds import is_fresh
from router.store.errors import STORE_ERRORS, ours
from router.tasks.ending import in_time, whole

_UNBLOCK_TIMEOUT = 2.0  # seconds


class ReadConnection:
    """Runs reads of the streams that share a slot with `key`, which may block up to `block` seconds.

    One that is not `unblockable` needs no right to ask for the connection's number, and a read ends by itself alone.
    It connects when there is something to run, and again after every error: the slot or the master may have moved.
    """

    def __init__(self, store: Store, key: str, block: float, *, unblockable: bool = True) -> None:
        self._unblockable = unblockable
        self._store = store
        self._key = key
        self._block = block
        self._server: Redis | None = None
        self._connection: Redis | None = None
        self._number: int | None = None
        self.remade = False
        """Whether the last command went over another connection than the one before, without an error that says so."""
        self._unblocking = asyncio.Lock()

    async def run(self, *command: Any) -> Any:
        """Run one command; raises StoreUnavailable and StoreRefused."""
        self.remade = False
        try:
            if self._connection is not None and not is_fresh(self._connection):
                await self.aclose()  # if it has to be made again, then with its number
                self.remade = True
            connection = self._connection or await self._connect()
            return await connection.execute_command(*command)  # type: ignore[no-untyped-call]
        except STORE_ERRORS as error:
            await self.aclose()
            raise ours(error) from error
        except BaseException:
            await self.aclose()
            raise

    async def unblock(self) -> None:
        """Make the server end the read under way, which then brings nothing; does nothing where there is none."""
        async with self._unblocking:
            if self._server is not None and self._number is not None:
                with contextlib.suppress(*STORE_ERRORS):
                    await in_time(_UNBLOCK_TIMEOUT, self._server.client_unblock(self._number))

    async def aclose(self) -> None:
        """Close it, also where who does is cancelled meanwhile; a further command would open it again."""
        await whole(self._close())

    async def _close(self) -> None:
        async with self._unblocking:  # which uses another connection to the same server
            open_ones = [client for client in (self._connection, self._server) if client is not None]
            self._server = self._connection = self._number = None
            for client in open_ones:
                await client.aclose()

    async def _connect(self) -> Redis:
        self._server = await self._store.reader(self._key, self._block)
        self._connection = self._server.client()
        if not self._unblockable:
            return self._connection
        with contextlib.suppress(ResponseError):  # without the right to ask, a read is not ended but waited for
            self._number = int(await self._connection.client_id())
        return self._connection
