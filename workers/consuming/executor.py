"""Running handlers: as many at once as the subscription allows.

A fixed number of lanes take deliveries from the buffer; there is no task for each event.

Suspects, deliveries whose worker died before, run in one lane only, one after the other, each marked in the store
before it starts, and settled there before the next one starts. So the one event that kills the process is found
among those that only happened to be near it.
"""

import asyncio
import time

from config.errors import RouterError
from router.tasks.ending import end, ended_in
from workers.consuming.attempt import Attempts
from workers.consuming.buffer import Buffer
from workers.consuming.context import Context
from workers.consuming.lane import Lane, LaneTask, Watchdog
from workers.consuming.settler import Settler
from workers.delivery import Held
from workers.failure import described
from workers.outcomes import WorkerMustEnd

_LAST_WORDS = 2.0
"""Seconds that cancelled handlers get to end."""
_SLICE = 0.01
"""Seconds a lane may go on without letting the event loop do anything else."""


class LaneLost(RouterError):
    """A lane ended that nobody had ended: what it had in hand has failed, and it is opened again."""


_ENDING = (MemoryError, WorkerMustEnd)
"""What ends the process, and is no fault of an event."""


class Executor:
    """Takes deliveries out of the buffers and attempts them.

    A lane that ends by itself is opened again, and `lanes_lost` counts it. Where no delivery can have been the reason,
    `broken` fails: a fault of ours, which opening the lane again would only repeat.
    """

    def __init__(self, context: Context, settler: Settler) -> None:
        self._context = context
        self._settler = settler
        self._buffer = Buffer()
        self._lanes: list[Lane] = []
        self._stopping = False
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lanes_lost = 0
        subscription = context.subscription
        self._batch = subscription.batch_size if subscription.handled_by.batch else 1
        self._watchdog = Watchdog(self._lanes, subscription.timeout)
        self._attempts = Attempts(context, settler, self._watchdog)

    @property
    def capacity(self) -> int:
        """Deliveries that can run at once."""
        return self._context.subscription.concurrency * self._batch

    @property
    def running(self) -> int:
        """Deliveries that run now."""
        return sum(len(lane.holding) for lane in self._lanes)

    @property
    def stuck(self) -> bool:
        """Whether a handler still runs after the stop."""
        return self._stopping and not all(task.done() for task in self.tasks)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The lanes' tasks, which end only when the executor is stopped, or by a fault of ours."""
        return [lane.task for lane in self._lanes if lane.task]

    def start(self) -> None:
        """Open the lanes."""
        for number in range(self._context.subscription.concurrency):
            lane = Lane(f"handler-{self._context.group}")
            self._open(lane, suspects=number == 0)
            self._lanes.append(lane)

    def put(self, items: list[Held]) -> None:
        """Queue deliveries for handling."""
        self._buffer.put(items)

    def give_back(self) -> None:
        """Hand what waits to the other consumers, or to this one for later."""
        for held in self._buffer.clear():
            self._settler.give_back(held)

    async def stop(self, grace: float) -> None:
        """Give back what waits, let what runs finish within `grace` seconds, give back the rest."""
        self._stopping = True
        self.give_back()
        busy = [lane.task for lane in self._lanes if lane.task and lane.holding]
        for lane in self._lanes:
            if not lane.holding:
                lane.close()
        if going_on := [*busy, *self._attempts.lingering.tasks]:
            await asyncio.wait(going_on, timeout=grace)
        await self._cut_off()
        self._watchdog.stop()
        for lane in self._lanes:
            lane.abandon_thread()

    async def _cut_off(self) -> None:
        threads = self._close()
        if ending := [*self.tasks, *threads.values()]:
            # Bounded: a handler may swallow its cancellation, and must not keep the process alive.
            await asyncio.wait(ending, timeout=_LAST_WORDS)
        for lane in self._lanes:
            thread = threads.get(lane)
            running = (lane.task is not None and not lane.task.done()) or (thread is not None and not thread.done())
            self._give_up(lane, running=running)
        await end(self._attempts.lingering.tasks)

    def _close(self) -> dict[Lane, asyncio.Future[None]]:
        """Close the lanes; of a keyed subscription return the threads that may run on."""
        keyed = self._context.subscription.keyed
        threads = {lane: lane.abandon_thread() for lane in self._lanes if keyed and lane.holding}
        for lane in self._lanes:
            lane.close()
        return {lane: asyncio.wrap_future(thread) for lane, thread in threads.items() if thread}

    def _give_up(self, lane: Lane, *, running: bool) -> None:
        """Give back what a lane did not finish; what still runs, and has a key, waits for the lease to end."""
        for held in lane.holding:
            self._context.log.warning("handler_interrupted", event_id=held.event_id, stream=held.stream)
            if not (running and self._context.subscription.keyed):
                self._settler.give_back(held)
        lane.holding = []

    def _open(self, lane: Lane, *, suspects: bool) -> None:
        lane.task = LaneTask(self._run(lane, suspects=suspects), lane)
        lane.task.add_done_callback(lambda task: self._ended(lane, task, suspects=suspects))

    def _ended(self, lane: Lane, task: asyncio.Task[None], *, suspects: bool) -> None:
        """Open a lane again that ended while it should not; first charge what it had in hand, if that is why."""
        error = ended_in(task)
        if self._stopping or lane.asked_to_end:
            return
        worn = task.cancelling() and task.cancelled() and not lane.holding
        if error is not None and not worn and (isinstance(error, _ENDING) or not self._charge(lane, error)):
            if not self.broken.done():
                self.broken.set_exception(error)
                self.broken.exception()  # looked at: where the process is ending anyway, nobody else does
            return
        self._open(lane, suspects=suspects)

    def _charge(self, lane: Lane, error: BaseException) -> bool:
        """Settle what a lost lane had in hand as failed; return whether that was anything, and was possible."""
        self.lanes_lost += 1
        self._context.metrics.lanes_lost.labels(self._context.group).inc()
        name, text = described(error)
        self._context.log.error("lane_lost", error=name, message=text, deliveries=len(lane.holding))
        self._watchdog.finished(lane)
        lost, holding = LaneLost(f"the lane that handled the event ended ({name}: {text})"), bool(lane.holding)
        try:
            self._attempts.failed(lane, lost)
        except Exception as failure:
            self._context.log.exception("attempt_broken", exc_info=failure)
            return False
        return holding

    async def _run(self, lane: Lane, *, suspects: bool) -> None:
        """Attempt one delivery after the other; a task that an attempt has left worn is replaced by a new one."""
        task = asyncio.current_task()
        until = time.monotonic() + _SLICE
        while not self._stopping and task is not None and not task.cancelling():
            held = self._buffer.take(suspects=suspects) or await self._buffer.get(suspects=suspects)
            lane.holding = [held]
            await self._attempt(lane)
            if held.crashes:
                await self._settler.has_settled(held)
            if time.monotonic() > until:
                await asyncio.sleep(0)
                until = time.monotonic() + _SLICE

    async def _attempt(self, lane: Lane) -> None:
        """Attempt one delivery or batch; whatever breaks, the lane goes on and the attempt counts."""
        try:
            if self._batch > 1 and not lane.holding[0].attempts and not lane.holding[0].crashes:
                await self._buffer.gather(lane.holding, self._batch, self._context.subscription.batch_wait)
            await self._attempts.run(lane)
        except _ENDING:
            raise  # not its fault; the process ends
        except Exception as error:  # noqa: BLE001 - a delivery must not come back uncounted for ever
            self._attempts.failed(lane, error)
