"""One timer for all that a connection waits for, one thing after the other.

A timer is only touched where the new deadline comes before the one it is set to; a later one is noticed when it fires.
So a connection in use, whose deadline moves ahead with each request, sets a timer once in a while and not each time.
"""

import asyncio
import math
from collections.abc import Callable


class Deadline:
    """Calls what was last given to `set`, once its time has come and nothing else was set meanwhile.

    `at` is when that is, by the clock of the event loop; infinite while nothing is set.
    """

    __slots__ = ("_late", "_loop", "_timer", "at")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.at = math.inf
        self._late: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float, late: Callable[[], None]) -> None:
        """Call `late` after so many seconds, instead of what was to be called before."""
        self.at = at = self._loop.time() + seconds
        self._late = late
        timer = self._timer
        if timer is None:
            self._timer = self._loop.call_at(at, self._look)
        elif at < timer.when():
            timer.cancel()
            self._timer = self._loop.call_at(at, self._look)

    def bring_forward(self, seconds: float, late: Callable[[], None]) -> None:
        """Do as `set`, unless what was set before comes earlier."""
        if self._loop.time() + seconds < self.at:
            self.set(seconds, late)

    def clear(self) -> None:
        """Call nothing."""
        self.at = math.inf
        self._late = None

    def stop(self) -> None:
        """Call nothing, ever, and leave no timer."""
        self.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        late = self._late
        if late is None:
            return
        if self._loop.time() < self.at:
            self._timer = self._loop.call_at(self.at, self._look)
        else:
            self.clear()
            late()
