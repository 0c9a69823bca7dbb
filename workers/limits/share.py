"""The local share: what one worker may still do of a quota while it cannot ask the store."""

from router.store.limits import Heard, Standing

__all__ = ["Share"]

_PROBE = 30.0
_BLIND = 60.0


class Share:
    """A worker's part of one quota; times in monotonic seconds, `window` and waits in seconds.

    It follows what the store says while that answers, and goes on alone from there.
    """

    def __init__(self, window: float, rate: int | None, reserve: float) -> None:
        self._window = window
        self._rate = rate
        self.reserve = reserve
        self.spent = 0
        """Calls that went while the store could not be asked, and of which it does not know."""
        self._workers = 1
        self._left = 0
        self._ends = self._closed = self._probe = self._blind = float("-inf")

    def follow(self, standing: Standing, now: float) -> None:
        """Take over what the store says."""
        self._workers = max(1, standing.workers)
        self._ends = now + standing.ends_in
        self._left = self._part(standing.left, standing.limit)
        if not standing.granted and standing.wait is not None and not standing.ends_in:  # no window: it was refused
            self._closed = max(self._closed, now + standing.wait)

    def take(self, now: float) -> tuple[bool, float | None]:
        """Return whether a call may go now, or how long to wait: None until an answer comes."""
        if self._closed > now:
            return False, self._closed - now
        if self._ends <= now and self._rate is not None:
            self._ends, self._left = now + self._window, self._part(self._rate, self._rate)
        if self._ends <= now:
            return self._unknown(now)
        if self._left < 1:
            return False, self._ends - now
        self._left -= 1
        return self._go()

    def learn(self, heard: Heard, now: float) -> None:
        """Take note of what an answer said."""
        self._probe = float("-inf")
        if heard.closed is not None:
            self._closed = max(self._closed, now + min(heard.closed, self._window))
            if self._rate is None:
                self._ends = self._blind = float("-inf")
        elif self._rate is None and heard.left is not None:
            self._heard(heard.left, heard.left if heard.limit is None else heard.limit, heard.ends_in, now)
        elif self._rate is None and heard.answered:
            self._blind = now + min(_BLIND, self._window)

    def _heard(self, left: int, limit: int, ends_in: float | None, now: float) -> None:
        part = self._part(left, limit)
        if self._ends > now:
            self._left = min(self._left, part)
        else:
            self._left, self._ends = part, now + min(self._window if ends_in is None else ends_in, self._window)

    def _unknown(self, now: float) -> tuple[bool, float | None]:
        if self._blind > now:
            return self._go()
        if self._probe > now:
            return False, None
        self._probe = now + _PROBE
        return self._go()

    def _go(self) -> tuple[bool, float | None]:
        self.spent += 1
        return True, 0.0

    def _part(self, left: int, limit: int) -> int:
        return max(0, left - int(self.reserve * limit)) // self._workers
