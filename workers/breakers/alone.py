"""What a worker judges of a target by itself, while it cannot ask the store: by the same rules as the script."""

from router.store.breakers import Position

__all__ = ["Alone"]

_FORGOTTEN = 300.0
"""Seconds after which a failure does not belong to the next one."""


class Alone:
    """One breaker in one worker; times in monotonic seconds.

    It follows what the store says while that answers, and goes on alone from there.
    """

    def __init__(self, failures: int, interval: float) -> None:
        self._most = failures
        self._interval = interval
        self.turn = 0
        self._failures = 0
        self._opened: float | None = None
        self._last = self._next = float("-inf")

    def follow(self, position: Position, now: float) -> None:
        """Take over what the store says."""
        if position.open != (self._opened is not None):
            self.turn += 1
        self._opened = now - position.open_for if position.open else None
        self._next = now + position.wait
        if position.failures > self._failures:
            self._last = now
        self._failures = position.failures

    def take(self, now: float) -> Position:
        """Return whether a call may go now."""
        goes = self._opened is None or self._next <= now
        if goes and self._opened is not None:
            self._next = now + self._interval
        return self._position(now, goes=goes)

    def succeeded(self, turn: int, now: float) -> Position:
        """Take note that a call which went in this turn succeeded."""
        if turn != self.turn:
            return self._position(now, goes=False)
        self._failures = 0
        return self._turn(None, now) if self._opened is not None else self._position(now, goes=True)

    def failed(self, turn: int, now: float) -> Position:
        """Take note that a call which went in this turn failed."""
        if turn != self.turn:
            return self._position(now, goes=False)
        is_open = self._opened is not None
        self._failures = (0 if not is_open and now - self._last > _FORGOTTEN else self._failures) + 1
        self._last = now
        if is_open or self._failures < self._most:
            return self._position(now, goes=True)
        self._next = now + self._interval
        return self._turn(now, now)

    def _turn(self, opened: float | None, now: float) -> Position:
        self.turn, self._opened = self.turn + 1, opened
        return self._position(now, goes=True, turned=True)

    def _position(self, now: float, *, goes: bool, turned: bool = False) -> Position:
        is_open = self._opened is not None
        wait = max(0.0, self._next - now) if is_open else 0.0
        open_for = 0.0 if self._opened is None else now - self._opened
        return Position(goes, self.turn, is_open, wait, open_for, turned, self._failures)
