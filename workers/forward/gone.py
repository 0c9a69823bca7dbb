"""A receiver that answers 410 Gone: its subscription is paused, and everybody hears of it, once."""

import asyncio
import time
from collections.abc import Callable

from router.store.client import Store
from router.store.errors import STORE_ERRORS
from router.telemetry import logs
from workers.incidents import GONE, Incident, Incidents
from workers.operations.pauses import pause
from workers.state.forwards import ACTOR
from workers.state.pauses import paused

__all__ = ["Goner"]

_log = logs.get("forward")


class Goner:
    """Pauses the subscription of one forward whose receiver is gone, and says when it takes events again."""

    def __init__(self, store: Store, name: str, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._name = name
        self._clock = clock
        self._incidents = Incidents(store, clock)
        self._pausing = asyncio.Lock()
        self._is_over = False

    async def gone(self, host: str) -> None:
        """Pause the subscription, unless it is paused; a store that is away leaves that to the next answer."""
        self._is_over = False
        async with self._pausing:
            try:
                await self._pause(host)
            except STORE_ERRORS as error:
                _log.warning("forward_not_paused", subscription=self._name, answer=410, error=str(error))

    async def _pause(self, host: str) -> None:
        if await paused(self._store, [self._name]):
            return
        reason = f"{host} answered 410 Gone: it takes no events any more"
        await pause(self._store, self._name, None, by=ACTOR, reason=reason)
        command = f"event-router subscriptions resume {self._name}"
        _log.error("forward_paused", subscription=self._name, host=host, answer=410, advice=f"then {command}")
        await self._incidents.open(
            Incident(
                kind=GONE,
                subject=self._name,
                since=round(self._clock() * 1000),
                what=f"Forward {self._name} is paused: {reason}. Its events wait.",
                do="Ask who runs the receiver, correct the URL if it has moved, and resume the subscription.",
                command=command,
            )
        )

    async def came_back(self) -> None:
        """End the incident, if there is one: an event was taken."""
        if not self._is_over:
            await self.over()

    async def over(self) -> None:
        """End the incident, if there is one."""
        self._is_over = True
        try:
            await self._incidents.end(GONE, self._name)
        except STORE_ERRORS:
            self._is_over = False
