"""Asking the store for what all workers share, and leaving it alone for a moment where it does not answer."""

from collections.abc import Callable
from typing import Any

from router.store.client import Store
from router.store.errors import STORE_ERRORS
from router.store.scripts import Call
from router.tasks.ending import in_time
from router.tasks.outage import Reminder
from router.telemetry import logs

__all__ = ["Asking"]

_PATIENCE = 2.0
"""Seconds that the store may take before a worker goes on by itself."""
_PAUSE = 1.0
"""Seconds for which the store is not asked after it did not answer."""
_NOTED = 600.0
"""Seconds after which a name is written down again."""

_log = logs.get("limit")


class Asking:
    """Asks the store; logs `event` where that is away. `clock` in epoch seconds, `monotonic` in seconds."""

    def __init__(
        self, store: Store | None, event: str, clock: Callable[[], float], monotonic: Callable[[], float]
    ) -> None:
        self._store = store
        self._event = event
        self._clock = clock
        self._monotonic = monotonic
        self._noted: dict[str, float] = {}
        self._away_until = float("-inf")
        self._reminder = Reminder(monotonic)

    async def call(self, call: Call) -> Any | None:
        """Return the reply of a script; None where the store is away, or there is none."""
        if self._store is None or self._monotonic() < self._away_until:
            return None
        try:
            reply = await in_time(_PATIENCE, self._store.call(call))
        except STORE_ERRORS as error:
            self._away_until = self._monotonic() + _PAUSE
            if self._reminder.is_due():
                _log.warning(self._event, error=str(error))
            return None
        self._reminder.over()
        return reply

    async def note(self, key: str, name: str) -> None:
        """Write down in a sorted set that something of this name is used, now and then."""
        now = self._monotonic()
        if self._store is None or self._noted.get(name, float("-inf")) >= now - _NOTED:
            return
        self._noted[name] = now
        try:
            await in_time(_PATIENCE, self._store.command("ZADD", key, round(self._clock() * 1000), name))
        except STORE_ERRORS:
            self._noted.pop(name, None)  # it went away behind the script: with a later call
