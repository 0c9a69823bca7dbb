"""Keeping to a rate."""

import asyncio

__all__ = ["Pacer"]


class Pacer:
    """Lets through `rate` items a second, None for no limit.

    The time of each item is reckoned from the first one, so what sleeping too long loses is made up for.
    """

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._started: float | None = None
        self._taken = 0

    async def take(self, count: int) -> None:
        """Wait until `count` more items may go."""
        if self._rate is None:
            return
        now = asyncio.get_running_loop().time()
        if self._started is None:
            self._started = now
        due = self._started + self._taken / self._rate
        self._taken += count
        if due > now:
            await asyncio.sleep(due - now)
