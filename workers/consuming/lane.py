"""A lane, the place where one handler call runs at a time, and the one timer that watches all lanes."""

import asyncio
import time
from collections.abc import Coroutine, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from workers.delivery import Held
from workers.handlers.scope import SCOPE, Scope


class LaneTask(asyncio.Task[None]):
    """The task of a lane, in which its attempts run one after the other.

    Only the worker and the attempt that runs now can cancel it: a timer that an earlier attempt left behind, or another
    attempt that cancels every task it finds, would hit an event that has nothing to do with it. `asked` says that the
    worker did.
    """

    def __init__(self, work: Coroutine[Any, Any, None], lane: "Lane") -> None:
        super().__init__(work, loop=asyncio.get_running_loop())
        self._lane = lane
        self.asked = False

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel the task, unless it is no business of the caller; return whether it was cancelled."""
        scope = SCOPE.get()
        if scope is None and self._by_worker():
            self.asked = True
        elif scope is None or scope is not self._lane.scope:
            return False
        return super().cancel(msg)

    def _by_worker(self) -> bool:
        """Return whether one of our tasks cancels, or who closes the loop; not a callback that a thread sent."""
        loop = self.get_loop()
        return not loop.is_running() or asyncio.current_task(loop) is not None


class Lane:
    """What one lane has in hand; `deadline` (monotonic seconds) is set while a handler runs, `scope` during an attempt.

    A plain function runs in the lane's own thread. One that is over its time cannot be stopped, so its thread is
    abandoned and the lane gets another: a handler that hangs takes no place from the events behind it. `in_thread` says
    whether the attempt has gone there. `left_behind` is
    what ends when the thread of the last attempt does.
    """

    __slots__ = ("_thread", "deadline", "holding", "in_thread", "left_behind", "name", "scope", "task", "timed_out")

    def __init__(self, name: str = "handler") -> None:
        self.name = name
        self.task: asyncio.Task[None] | None = None
        self.holding: list[Held] = []
        self.in_thread = False
        self.left_behind: Future[None] | None = None
        self.deadline: float | None = None
        self.timed_out = False
        self.scope: Scope | None = None
        self._thread: ThreadPoolExecutor | None = None

    def interrupt(self) -> None:
        """Cancel the handler that runs now."""
        if self.task is not None:
            asyncio.Task.cancel(self.task)

    def charged(self) -> None:
        """Cancel the handler whose attempt has failed already; one in a thread would go on anyway."""
        if self._thread is None:
            self.interrupt()

    def close(self) -> None:
        """End the lane, and what runs in it."""
        if isinstance(self.task, LaneTask):
            self.task.asked = True
        self.interrupt()

    @property
    def asked_to_end(self) -> bool:
        """Whether the worker has cancelled the lane."""
        return isinstance(self.task, LaneTask) and self.task.asked

    def thread(self) -> ThreadPoolExecutor:
        """Return the executor of this lane's one thread, for an attempt that goes there now."""
        self.in_thread = True
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, self.name)
        return self._thread

    def abandon_thread(self) -> "Future[None] | None":
        """Leave the thread to itself; return what ends when it does, None where there was no thread."""
        thread, self._thread = self._thread, None
        if thread is None:
            return None
        ended = thread.submit(_nothing)
        thread.shutdown(wait=False)
        return ended


def _nothing() -> None:
    """Run behind what a thread does: then that has ended."""


class Watchdog:
    """Cancels the lane whose handler is over its time; `timeout` in seconds, None for no limit.

    A timer for each attempt would cost more than a short handler does. All attempts have the same time-out, so the next
    to expire is always the one that started first, and one timer, set while anything runs, is enough.
    """

    def __init__(self, lanes: Iterable[Lane], timeout: float | None) -> None:
        self._lanes = lanes
        self._timeout = timeout
        self._timer: asyncio.TimerHandle | None = None

    def started(self, lane: Lane, now: float) -> None:
        """Take note that a handler starts in a lane now (monotonic seconds)."""
        lane.timed_out = False
        if self._timeout is not None:
            lane.deadline = now + self._timeout
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(self._timeout, self._check)

    def finished(self, lane: Lane) -> None:
        """Take note that the handler ended."""
        lane.deadline = None

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        now = time.monotonic()
        for lane in self._lanes:
            if lane.deadline is not None and lane.deadline <= now and lane.task is not None:
                # Again after another time-out, for a handler that swallows its cancellation.
                lane.deadline = now + (self._timeout or 0)
                lane.timed_out = True
                lane.interrupt()
        waiting = [lane.deadline for lane in self._lanes if lane.deadline is not None]
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, min(waiting) - now), self._check) if waiting else None
