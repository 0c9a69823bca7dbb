"""Who may ask the ERP now: what a limit has to answer, and the one that lets everyone."""

from collections.abc import Mapping
from typing import Protocol

from router.events.event import Event

__all__ = ["Quota", "Unlimited"]


class Quota(Protocol):
    """What is asked before each request, and hears of each answer."""

    async def acquire(self, subject: Event, /) -> None:
        """Return where a request because of this event may go now; else raise, so that the event is deferred."""

    async def learn(self, subject: Event, headers: Mapping[str, str], status: int, /) -> None:
        """Take note of the answer to a request that was let go; status 0 where there was none."""


class Unlimited:
    """Lets every request go."""

    async def acquire(self, subject: Event, /) -> None:
        """Let it go."""

    async def learn(self, subject: Event, headers: Mapping[str, str], status: int, /) -> None:
        """Ignore it."""
