"""Plain functions that run on after their attempt: a thread cannot be stopped.

In a keyed subscription the next attempt of the same key must not run beside them. So the outcome is settled, which lets
the key go, only once the thread has ended; the lane handles other keys meanwhile.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from workers.consuming.context import Context
from workers.delivery import Held

_TIMES = 10
"""How many time-outs long a function that is over its time keeps its key at most."""
_LEAST = 60.0
"""Seconds for which it keeps its key in any case, unless it ends."""


class Lingering:
    """The deliveries of one consumer whose functions are over their time and still run."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._longest = max(_LEAST, _TIMES * (context.subscription.timeout or 0.0))
        self._waiting: set[asyncio.Task[None]] = set()

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """What waits for their threads."""
        return [*self._waiting]

    def settle_after(self, thread: "Future[None]", items: Sequence[Held], settle: Callable[[], None]) -> None:
        """Call `settle` once the thread has ended; these stay in hand until then."""
        self._context.in_hand.linger(items)
        task = asyncio.create_task(self._settle(thread, items, settle))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _settle(self, thread: "Future[None]", items: Sequence[Held], settle: Callable[[], None]) -> None:
        _, running = await asyncio.wait([asyncio.wrap_future(thread)], timeout=self._longest)
        if running:
            ids = [held.event_id for held in items]
            self._context.log.error("function_never_ended", event_ids=ids, waited=self._longest)
        settle()
