"""What is said of a store that fails: when it begins, once a minute while it lasts, and when it is over.

Every loop of a consumer notices an outage, and tries again each second: a line for each would bury all others.
"""

from collections.abc import Callable
from typing import Any

from config.errors import described

_SAY_AGAIN = 60.0  # seconds


class Reminder:
    """Says when to log what lasts: at once, and again each `seconds` until it is over; `monotonic` in seconds."""

    def __init__(self, monotonic: Callable[[], float], seconds: float = _SAY_AGAIN) -> None:
        self._monotonic = monotonic
        self._seconds = seconds
        self._again_at: float | None = None

    def is_due(self) -> bool:
        """Return whether to say it now; it is then not due for a while."""
        now = self._monotonic()
        if self._again_at is not None and now < self._again_at:
            return False
        self._again_at = now + self._seconds
        return True

    def over(self) -> bool:
        """Let the next time be due at once; return whether it was said that it lasts."""
        was_said, self._again_at = self._again_at is not None, None
        return was_said


class Outage:
    """The failures of one consumer's loops; `monotonic` in seconds."""

    def __init__(self, log: Any, monotonic: Callable[[], float]) -> None:
        self._log = log
        self._monotonic = monotonic
        self._failing: set[str] = set()
        self._reminder = Reminder(monotonic)
        self._since = 0.0

    def failed(self, what: str, error: BaseException) -> None:
        """Take note that a loop got an error where `what` it does needs the store."""
        now = self._monotonic()
        if not self._failing:
            self._since = now
        if self._reminder.is_due():
            seconds = round(now - self._since)
            self._log.warning("store_failed", doing=what, error=described(error), for_seconds=seconds)
        self._failing.add(what)

    def over(self, what: str) -> None:
        """Take note that a loop got what it wanted."""
        if what in self._failing:
            self._failing.remove(what)
            if not self._failing:
                self._reminder.over()
                self._log.info("store_works_again", after_seconds=round(self._monotonic() - self._since, 1))
