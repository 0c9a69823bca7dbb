"""One subscription at work in this process: its parts, started and stopped together."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from config.errors import described
from config.settings import WorkerSettings
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import STORE_ERRORS
from router.tasks.backoff import Backoff
from router.tasks.ending import CutShort, end, ended_in, in_time
from workers.consuming.context import Context
from workers.consuming.executor import Executor
from workers.consuming.heartbeat import Heartbeat
from workers.consuming.left_out import LeftOut
from workers.consuming.pace import Pace
from workers.consuming.pause_watch import PauseWatch
from workers.consuming.reader import readers_of
from workers.consuming.schedule import Schedule
from workers.consuming.settler import Settler
from workers.consuming.skipping import Skipping
from workers.consuming.sweeper import Sweeper, forget
from workers.feedback.feedback import Feedback
from workers.metrics import WorkerMetrics
from workers.state.filters import note_filter
from workers.state.pauses import Pause
from workers.subscription import Subscription

if TYPE_CHECKING:
    from router.telemetry.spans import Tracing

_LEAVING = 5.0  # seconds, at most
_SOON = 0.02
"""Seconds until it is seen whether all reads have ended."""


class Reading(Protocol):
    """What brings deliveries to the executor."""

    has_read: asyncio.Event

    async def run(self) -> None:
        """Read until stopped."""

    async def stop(self) -> None:
        """Make `run` return soon; to be called again until it has."""

    async def interrupt(self) -> None:
        """End the read under way, before it brings anything."""


class Consumer:
    """Reads, handles and settles the events of one subscription under one consumer name.

    `returning`: the name was used before, by a process that is gone for sure; what it held is taken over at once.
    """

    def __init__(
        self,
        subscription: Subscription,
        name: str,
        store: Store,
        catalogue: Catalogue,
        settings: WorkerSettings,
        metrics: WorkerMetrics,
        *,
        returning: bool = False,
        tracing: "Tracing | None" = None,
        feedback: Feedback | None = None,
    ) -> None:
        self._returning = returning
        streams = catalogue.select(*subscription.events)
        given = (subscription, streams, name, store, catalogue, settings, metrics)
        self.context = Context(*given, tracing=tracing, feedback=feedback)
        self._schedule = Schedule(self.context)
        self._settler = Settler(self.context, self._retry_scheduled)
        self._executor = Executor(self.context, self._settler)
        self._pace = Pace(self.context, max(1, self._executor.capacity))
        self._sweeper = Sweeper(self.context, self._schedule.look_everywhere)
        self._heartbeat = Heartbeat(self.context, self._sweeper.recover)
        self._pause_watch = PauseWatch(self.context, self._hold, self._go_on)
        self._left_out = LeftOut(self.context)
        self._readers: Sequence[Reading] = ()
        self._reading: list[asyncio.Task[None]] = []
        self._keeping: list[asyncio.Task[None]] = []
        self._held = asyncio.Event()
        self.ready = False
        metrics.subscribe(subscription.name)
        metrics.in_hand.labels(subscription.name).set_function(lambda: len(self.context.in_hand))
        metrics.in_flight.labels(subscription.name).set_function(lambda: self._executor.running)

    @property
    def stuck(self) -> bool:
        """Whether a handler still runs after the stop, having swallowed its cancellation."""
        return self._executor.stuck

    @property
    def pause(self) -> Pause | None:
        """The pause that this consumer keeps to now."""
        return self._pause_watch.pause

    @property
    def warning(self) -> str:
        """What an operator should know of this consumer; empty where there is nothing."""
        lost = self._executor.lanes_lost
        lanes = f"{lost} lanes ended by themselves and were opened again: see lane_lost in the log" if lost else ""
        return "; ".join(
            text for text in (self.pause.text() if self.pause else "", lanes, self._left_out.warning) if text
        )

    async def start(self) -> None:
        """Begin: make the groups, say that this consumer lives, open the lanes, read; waits for the store.

        Returns once every stream has been read, and `ready` is set then: to have groups is not to get anything.
        """
        await self._join()
        self._executor.start()
        context = self.context
        self._readers = self._make_readers()
        self._reading = [asyncio.create_task(reader.run()) for reader in self._readers]
        self._keeping = [asyncio.create_task(keeping) for keeping in self._keepers()]
        await self._first_reads()
        self.ready = True
        context.log.info("subscription_started", consumer=context.consumer, streams=len(context.streams))

    def _make_readers(self) -> Sequence[Reading]:
        put = self._executor.put
        if self.context.subscription.where is not None:
            put = Skipping(self.context, self._settler, put).take
        return readers_of(self.context, self._pace, put)

    def _keepers(self) -> list[Coroutine[Any, Any, None]]:
        """Return what runs beside reading and handling, until the stop."""
        parts = (self._heartbeat, self._schedule, self._sweeper, self._pause_watch, self._left_out)
        return [*(part.run() for part in parts), self.context.skipped.run()]

    def _retry_scheduled(self, stream: str, seconds: float) -> None:
        self._schedule.scheduled(stream, seconds)

    async def _take_over(self) -> None:
        """Take over what the process before had in hand under this name."""
        await self._sweeper.recover(self.context.consumer)

    async def _first_reads(self) -> None:
        """Return once each reader has read; or a pause keeps them from it, or one has ended, which `failed` says."""
        waiting = [asyncio.create_task(self._all_have_read()), asyncio.create_task(self._held.wait())]
        try:
            await asyncio.wait([*waiting, *self._reading], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(waiting)

    async def _all_have_read(self) -> None:
        for reader in self._readers:
            await reader.has_read.wait()

    async def stop(self, grace: float | None = None) -> None:
        """End: read no more, finish what runs within `grace` seconds, give the rest back, and leave the group.

        Without `grace` it is `shutdown_timeout`.
        """
        self.ready = False
        grace = self.context.settings.shutdown_timeout if grace is None else grace
        reading = asyncio.gather(*self._reading, return_exceptions=True)
        while not reading.done():
            await asyncio.gather(*(reader.stop() for reader in self._readers))
            await asyncio.wait([reading], timeout=0.2)
        await self._executor.stop(grace)
        await end(self._keeping)
        await self._leave()

    async def failed(self) -> None:
        """Return, by raising, only if one of the loops ended, in an error it should have survived or otherwise."""
        parts = [*self._reading, *self._keeping, self._executor.broken, self._settler.broken]
        done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        for part in done:
            raise ended_in(part) or CutShort(f"{part} ended, and nobody had stopped it")

    async def _join(self) -> None:
        backoff = Backoff(self.context.random)
        while True:
            try:
                await self.context.ensure_groups(self.context.subscription.start)
                await self._note_filter()
                if self._returning:
                    await self._take_over()
                await self._heartbeat.beat()
                await self._pause_watch.begin()
            except STORE_ERRORS as error:
                delay = backoff.next()
                self.context.outage.failed("joining", error)
                await asyncio.sleep(delay)
            else:
                self.context.outage.over("joining")
                return

    async def _note_filter(self) -> None:
        context = self.context
        await note_filter(context.store, context.group, context.subscription.where, context.streams)

    async def _hold(self) -> None:
        """Take on nothing more, and give back what was not started; what runs goes on."""
        self._schedule.pause()
        self._pace.pause()
        while self._pace.waiting < len(self._readers):
            # again and again, since a read may just be about to begin; one that ends otherwise comes to wait as well
            await asyncio.gather(*(reader.interrupt() for reader in self._readers))
            await asyncio.sleep(_SOON)
        self._executor.give_back()
        self._held.set()

    def _go_on(self) -> None:
        self._schedule.resume()
        self._pace.resume()

    async def _leave(self) -> None:
        """Settle what is left and take this consumer out of the groups; the lease does it if the store is away."""
        context = self.context
        try:
            await in_time(min(_LEAVING, context.settings.shutdown_timeout), self._settle_and_sign_off())
        except STORE_ERRORS as error:
            context.log.warning("leave_failed", error=described(error))
        context.log.info("subscription_stopped", unsettled=len(context.in_hand))

    async def _settle_and_sign_off(self) -> None:
        """Take this consumer off the list; or, with retries to watch over, declare it dead for another to take over."""
        context = self.context
        await self._settler.drain()
        await context.skipped.write()
        if not context.in_hand and await forget(context, context.consumer):
            key = context.keys.consumers(context.group)
            command = ("ZADD", key, 0) if self._schedule.watching else ("ZREM", key)
            await context.store.command(*command, context.consumer)
