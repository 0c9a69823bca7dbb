"""The deliveries read ahead and waiting for a handler."""

import asyncio
from collections import deque
from collections.abc import Iterable

from workers.delivery import Held


class Buffer:
    """A queue of deliveries that hands out one, or a batch of those that never failed.

    Suspects, whose worker died before, wait apart: only a taker that asks for them gets them, and gets them first.

    Takers are woken one after the other, each by the one before it: a handler that does not wait leaves nothing to the
    next, and to wake them all would cost more than the handlers.

    While one taker gathers a batch, what never failed goes to that batch alone: takers that each waited for a batch of
    their own would share out a trickle of deliveries one by one.
    """

    def __init__(self) -> None:
        self._fresh: deque[Held] = deque()
        self._suspects: deque[Held] = deque()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._suspect_waiter: asyncio.Future[None] | None = None
        self._woken: asyncio.Future[None] | None = None  # and has not run yet
        self._gathering: _Gathering | None = None

    def __len__(self) -> int:
        return len(self._fresh) + len(self._suspects)

    def put(self, items: Iterable[Held]) -> None:
        """Add deliveries and wake a waiting taker."""
        for held in items:
            if held.crashes:
                self._suspects.append(held)
            elif self._gathering is None or held.attempts:
                self._fresh.append(held)
            elif self._gathering.fills_up(held):
                self._gathering = None
        if self._suspects and self._suspect_waiter is not None and not self._suspect_waiter.done():
            self._suspect_waiter.set_result(None)
        self._wake()

    def take(self, *, suspects: bool = False) -> Held | None:
        """Take the next delivery, if there is one, and wake another taker for the one behind it."""
        if suspects and self._suspects:
            held = self._suspects.popleft()
        elif self._fresh:
            held = self._fresh.popleft()
        else:
            return None
        self._wake()
        return held

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

    async def gather(self, batch: list[Held], limit: int, seconds: float) -> None:
        """Fill up a batch, to `limit` at most, with what waits and with what comes within a time.

        The time ends early where the batch is full or the buffer is cleared. One taker at a time has a batch open.
        """
        batch += self.more(limit - len(batch))
        if not seconds or len(batch) >= limit:
            return
        gathering = self._gathering = _Gathering(batch, limit)
        rest = [*self._fresh]  # behind one that failed
        self._fresh.clear()
        self.put(rest)
        timer = asyncio.get_running_loop().call_later(seconds, gathering.end)
        try:
            await gathering.ended
        finally:
            timer.cancel()
            if self._gathering is gathering:
                self._gathering = None

    def clear(self) -> list[Held]:
        """Take everything, and let no batch wait for more."""
        if self._gathering is not None:
            self._gathering.end()
            self._gathering = None
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
            if self._woken is waiter:
                self._woken = None
                self._wake()  # its turn goes to the next one
            raise
        finally:
            if self._woken is waiter:
                self._woken = None
            elif waiter in self._waiters:  # cancelled, or woken for a suspect
                self._waiters.remove(waiter)

    def _wake(self) -> None:
        while self._fresh and self._woken is None and self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                self._woken = waiter


class _Gathering:
    """A batch that is open for what comes."""

    def __init__(self, batch: list[Held], limit: int) -> None:
        self._batch = batch
        self._limit = limit
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fills_up(self, held: Held) -> bool:
        """Add a delivery; return whether the batch is full, and so ended, with it."""
        self._batch.append(held)
        if len(self._batch) < self._limit:
            return False
        self.end()
        return True

    def end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
