"""What is said of a store that fails: when it begins, once a minute while it lasts, and when it is over.

Every loop of a consumer notices an outage, and tries again each second: a line for each would bury all others.
"""

from collections.abc import Callable
from typing import Any

from config.errors import described

__all__ = ["Outage"]

_SAY_AGAIN = 60.0  # seconds


class Outage:
    """The failures of one consumer's loops; `monotonic` in seconds."""

    def __init__(self, log: Any, monotonic: Callable[[], float]) -> None:
        self._log = log
        self._monotonic = monotonic
        self._failing: set[str] = set()
        self._since = self._said_at = 0.0

    def failed(self, what: str, error: BaseException) -> None:
        """Take note that a loop got an error where `what` it does needs the store."""
        now = self._monotonic()
        if not self._failing:
            self._since = now
        if not self._failing or now - self._said_at >= _SAY_AGAIN:
            self._said_at = now
            seconds = round(now - self._since)
            self._log.warning("store_failed", doing=what, error=described(error), for_seconds=seconds)
        self._failing.add(what)

    def over(self, what: str) -> None:
        """Take note that a loop got what it wanted."""
        if what in self._failing:
            self._failing.remove(what)
            if not self._failing:
                self._log.info("store_works_again", after_seconds=round(self._monotonic() - self._since, 1))
