"""One erasure at a time: two would write the same streams again, and each might write back what the other removed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from config.errors import RouterError
from router.store.client import Store
from router.store.errors import STORE_ERRORS, StoreRefused
from router.store.leases import Lease, LeaseLost
from router.tasks.ending import end

__all__ = ["Alone", "ErasureForbidden", "ErasureOvertaken", "ErasureUnderWay"]

_LEASE: Final = 60.0


class ErasureUnderWay(RouterError):
    """Another erasure has not ended yet."""


class ErasureForbidden(RouterError):
    """The server does not let this user erase."""


class ErasureOvertaken(RouterError):
    """This erasure was held up for longer than its lease lasts, so that another one may have run meanwhile."""


class Alone:
    """The lease of erasures, as one of them holds it."""

    def __init__(self, store: Store) -> None:
        self._lease = Lease(store, store.keys.erasing(), _LEASE)
        self._is_lost = False

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Hold it meanwhile; raises ErasureUnderWay, ErasureForbidden and StoreUnavailable."""
        try:
            is_ours = await self._lease.take()
        except StoreRefused as error:
            raise ErasureForbidden(
                f"nothing was erased: {error}; redis.url needs the user er-eraser for that"
            ) from error
        if not is_ours:
            raise ErasureUnderWay(
                f"another erasure is under way, or was killed less than {_LEASE:g} s ago: wait, then repeat this one"
            )
        keeping = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            await end([keeping])
            await self._lease.give_up()

    async def still(self) -> None:
        """Renew it; raises ErasureOvertaken where it has ended since it was taken, and StoreUnavailable."""
        try:
            if not self._is_lost:
                await self._lease.keep()
                return
        except LeaseLost:
            self._is_lost = True
        raise ErasureOvertaken(
            f"this erasure was held up for more than {_LEASE:g} s, and another one may have run meanwhile: what was"
            " removed so far is gone; repeat it for the rest"
        )

    async def _keep(self) -> None:
        while not self._is_lost:
            await asyncio.sleep(_LEASE / 3)
            try:
                await self.still()
            except STORE_ERRORS:
                continue
            except ErasureOvertaken:
                return  # the next step says so
