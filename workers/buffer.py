"""The deliveries read ahead and waiting for a handler."""

import asyncio
from collections import deque
from collections.abc import Iterable

from workers.delivery import Held

__all__ = ["Buffer"]


class Buffer:
    """A queue of deliveries that hands out one, or a batch of those that never failed.

    Suspects, whose worker died before, wait apart: only a taker that asks for them gets them, and gets them first.
    """

    def __init__(self) -> None:
        self._fresh: deque[Held] = deque()
        self._suspects: deque[Held] = deque()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._suspect_waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._fresh) + len(self._suspects)

    def put(self, items: Iterable[Held]) -> None:
        """Add deliveries and wake as many waiting takers."""
        for held in items:
            (self._suspects if held.crashes else self._fresh).append(held)
        if self._suspects and self._suspect_waiter is not None and not self._suspect_waiter.done():
            self._suspect_waiter.set_result(None)
        for _ in range(min(len(self._fresh), len(self._waiters))):
            self._wake()

    def take(self, *, suspects: bool = False) -> Held | None:
        """Take the next delivery if there is one."""
        if suspects and self._suspects:
            return self._suspects.popleft()
        return self._fresh.popleft() if self._fresh else None

    async def get(self, *, suspects: bool = False) -> Held:
        """Take the next delivery, waiting for one; with `suspects` (one taker at a time) these come first."""
        while (held := self.take(suspects=suspects)) is None:
            await self._wait(suspects=suspects)
        return held

    def more(self, limit: int) -> list[Held]:
        """Take up to `limit` further deliveries that may share a batch: those that never failed."""
        taken: list[Held] = []
        while self._fresh and len(taken) < limit and not self._fresh[0].attempts:
            taken.append(self._fresh.popleft())
        return taken

    def clear(self) -> list[Held]:
        """Take everything."""
        items = [*self._suspects, *self._fresh]
        self._suspects.clear()
        self._fresh.clear()
        return items

    async def _wait(self, *, suspects: bool) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        if suspects:
            self._suspect_waiter = waiter
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and self._fresh:
                self._wake()  # its turn goes to the next one
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
