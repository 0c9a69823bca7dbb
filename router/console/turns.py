"""Searches of the console: few at once, since each reads much and holds what it has read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from config.errors import RouterError

_AT_ONCE = 4
_PATIENCE = 5.0  # seconds to wait for a turn


class Crowded(RouterError):
    """Too many search already; `retry_after` says in how many seconds that may be over."""

    retry_after = _PATIENCE


class Turns:
    """Lets a few go on at a time."""

    def __init__(self, at_once: int = _AT_ONCE, patience: float = _PATIENCE) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._patience = patience

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it; raises Crowded where none comes in time."""
        try:
            async with asyncio.timeout(self._patience):
                await self._turns.acquire()
        except TimeoutError:
            raise Crowded("Too many searches are under way: try again in a moment.") from None
        try:
            yield
        finally:
            self._turns.release()
