"""A lane, the place where one handler call runs at a time, and the one timer that watches all lanes."""

import asyncio
from collections.abc import Iterable

from workers.delivery import Held

__all__ = ["Lane", "Watchdog"]


class Lane:
    """What one lane has in hand; `deadline` (loop time, seconds) is set while a handler runs."""

    __slots__ = ("deadline", "holding", "task", "timed_out")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.holding: list[Held] = []
        self.deadline: float | None = None
        self.timed_out = False


class Watchdog:
    """Cancels the lane whose handler is over its time; `timeout` in seconds, None for no limit.

    A timer for each attempt would cost more than a short handler does. All attempts have the same time-out, so the next
    to expire is always the one that started first, and one timer, set while anything runs, is enough.
    """

    def __init__(self, lanes: Iterable[Lane], timeout: float | None) -> None:
        self._lanes = lanes
        self._timeout = timeout
        self._timer: asyncio.TimerHandle | None = None

    def started(self, lane: Lane) -> None:
        """Take note that a handler starts in a lane now."""
        lane.timed_out = False
        if self._timeout is not None:
            loop = asyncio.get_running_loop()
            lane.deadline = loop.time() + self._timeout
            if self._timer is None:
                self._timer = loop.call_at(lane.deadline, self._check)

    def finished(self, lane: Lane) -> None:
        """Take note that the handler ended."""
        lane.deadline = None

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for lane in self._lanes:
            if lane.deadline is not None and lane.deadline <= now and lane.task is not None:
                lane.deadline = None
                lane.timed_out = True
                lane.task.cancel()
        waiting = [lane.deadline for lane in self._lanes if lane.deadline is not None]
        self._timer = loop.call_at(min(waiting), self._check) if waiting else None
