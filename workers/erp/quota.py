"""Who may ask the ERP now: what a limit and a breaker have to answer, and those that let everyone."""

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

from router.events.event import Event

__all__ = ["Asked", "Guard", "Quota", "Unguarded", "Unlimited"]


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


class Asked(Protocol):
    """One request that goes."""

    def answered(self, status: int, /) -> None:
        """Take note of the status of HTTP that was answered."""


class Guard(Protocol):
    """What each request is made within: while its target is down it raises, so that the event is deferred."""

    async def __aenter__(self) -> Asked: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class Unguarded:
    """Lets every request go, and hears of none."""

    async def __aenter__(self) -> Self:
        """Let it go."""
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Ignore how it ended."""

    def answered(self, _status: int) -> None:
        """Ignore it."""
