"""Running handlers: as many at once as the subscription allows.

A fixed number of lanes take deliveries from the buffer; there is no task for each event.

Suspects, deliveries whose worker died before, run in one lane only, one after the other, each marked in the store
before it starts. So the one event that kills the process is told from those that only happened to be near it.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from workers.attempt import Attempts
from workers.buffer import Buffer
from workers.context import Context
from workers.delivery import Held
from workers.lane import Lane, Watchdog
from workers.settler import Settler

__all__ = ["Executor"]

_SLICE = 0.01
"""Seconds a lane may go on without letting the event loop do anything else."""


class Executor:
    """Takes deliveries out of the buffers and attempts them."""

    def __init__(self, context: Context, settler: Settler) -> None:
        self._context = context
        self._settler = settler
        self._buffer = Buffer()
        self._lanes: list[Lane] = []
        self._stopping = False
        subscription = context.subscription
        self._batch = subscription.batch_size if subscription.handled_by.batch else 1
        self._watchdog = Watchdog(self._lanes, subscription.timeout)
        self._threads: ThreadPoolExecutor | None = None
        if not subscription.handled_by.is_async:
            # A thread that is over its time cannot be stopped: it must not take the place of the next event's.
            self._threads = ThreadPoolExecutor(2 * subscription.concurrency, f"handler-{subscription.name}")
        self._attempts = Attempts(context, settler, self._watchdog, self._threads)

    @property
    def capacity(self) -> int:
        """Deliveries that can run at once."""
        return self._context.subscription.concurrency * self._batch

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The lanes' tasks, which end only when the executor is stopped, or by a fault of ours."""
        return [lane.task for lane in self._lanes if lane.task]

    def start(self) -> None:
        """Open the lanes."""
        for number in range(self._context.subscription.concurrency):
            lane = Lane()
            lane.task = asyncio.create_task(self._run(lane, suspects=number == 0))
            self._lanes.append(lane)

    def put(self, items: list[Held]) -> None:
        """Queue deliveries for handling."""
        self._buffer.put(items)

    async def stop(self, grace: float) -> None:
        """Give back what waits, let what runs finish within `grace` seconds, give back the rest."""
        self._stopping = True
        for held in self._buffer.clear():
            self._settler.give_back(held)
        busy = [lane.task for lane in self._lanes if lane.task and lane.holding]
        for lane in self._lanes:
            if lane.task and not lane.holding:
                lane.task.cancel()
        if busy:
            await asyncio.wait(busy, timeout=grace)
        await self._cut_off()
        self._watchdog.stop()
        if self._threads:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _cut_off(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for lane in self._lanes:
            for held in lane.holding:
                self._context.log.warning("handler_interrupted", event_id=held.event_id, stream=held.stream)
                self._settler.give_back(held)
            lane.holding = []

    async def _run(self, lane: Lane, *, suspects: bool) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + _SLICE
        while not self._stopping:
            lane.holding = [await self._buffer.get(suspects=suspects)]
            if self._batch > 1 and not lane.holding[0].used:
                await self._fill(lane)
            await self._attempts.run(lane)
            if loop.time() > until:
                await asyncio.sleep(0)
                until = loop.time() + _SLICE

    async def _fill(self, lane: Lane) -> None:
        """Make a batch of the first delivery and what waits behind it, for as long as the subscription allows."""
        wait = self._context.subscription.batch_wait
        lane.holding += self._buffer.more(self._batch - 1)
        if wait and len(lane.holding) < self._batch:
            await asyncio.sleep(wait)
            lane.holding += self._buffer.more(self._batch - len(lane.holding))
