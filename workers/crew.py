"""The consumers of one process: started with it, or while it runs, and ended one by one or all together."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from router.tasks.ending import CutShort, end, ended_in
from workers.consuming.consumer import Consumer
from workers.subscription import Subscription

__all__ = ["Crew"]


class Crew:
    """Runs consumers, and tells by `broken` that one of them, or what runs beside them, ended by itself.

    make: makes the consumer of a subscription; raises UnknownStream for unknown events.
    """

    def __init__(self, make: Callable[[Subscription], Consumer]) -> None:
        self._make = make
        self._running: dict[Consumer, asyncio.Task[None]] = {}
        self._beside: list[asyncio.Task[None]] = []
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __iter__(self) -> Iterator[Consumer]:
        """Yield the consumers that run now."""
        return iter(tuple(self._running))

    def start(self, subscription: Subscription) -> Consumer:
        """Start one; no start waits for another's."""
        consumer = self._make(subscription)
        self._running[consumer] = self._watched(_run_one(consumer))
        return consumer

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Run this beside the consumers until they end."""
        self._beside.append(self._watched(work))

    async def end(self, consumer: Consumer, grace: float | None = None) -> None:
        """End one: what runs may finish within `grace` seconds, by default as long as at the end of the process."""
        await self._end([self._running[consumer]])
        await consumer.stop(grace)
        del self._running[consumer]

    async def stop(self) -> None:
        """End all that runs; what could not be ended stays, for `stuck`."""
        await self._end([*self._beside, *self._running.values()])
        await asyncio.gather(*(consumer.stop() for consumer in self._running))

    @property
    def stuck(self) -> list[str]:
        """The subscriptions whose handlers could not be ended."""
        return [consumer.context.group for consumer in self._running if consumer.stuck]

    async def _end(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.remove_done_callback(self._ended)
        await end(tasks)

    def _watched(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not self.broken.done():
            self.broken.set_exception(ended_in(task) or CutShort(f"{task} ended, and nobody had stopped it"))
            self.broken.exception()  # looked at: where the process ends anyway, nobody else does


async def _run_one(consumer: Consumer) -> None:
    """Start one subscription and raise if one of its loops breaks."""
    await consumer.start()
    await consumer.failed()
