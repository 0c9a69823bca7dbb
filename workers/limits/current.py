"""What handlers ask in the worker in which they run, such as its limiter: found by context."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Generic, Protocol, TypeVar

from workers.limits.home import Home

__all__ = ["Current"]


class _Settled(Protocol):
    home: Home


A = TypeVar("A", bound=_Settled)


class Current(Generic[A]):
    """The one of its kind in the worker in which this runs."""

    def __init__(self, name: str) -> None:
        self._found: ContextVar[A | None] = ContextVar(name, default=None)

    def get(self) -> A | None:
        """Return it; None outside of workers."""
        return self._found.get()

    @asynccontextmanager
    async def having(self, one: A) -> AsyncIterator[A]:
        """Have this one found in all that is started meanwhile, and its work done in the loop that runs now."""
        one.home.settle()
        token = self._found.set(one)
        try:
            yield one
        finally:
            self._found.reset(token)
