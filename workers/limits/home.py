"""The event loop of a worker, in which the store is asked: also for handlers that run in a thread."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from config.errors import ConfigError

__all__ = ["Home"]

T = TypeVar("T")


class Home:
    """Where work is done; anywhere, until it has settled."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def settle(self) -> None:
        """Have the work done in the loop that runs now."""
        self._loop = asyncio.get_running_loop()

    async def here(self, made: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what work comes to, from any event loop."""
        if self._loop is None or self._loop is asyncio.get_running_loop():
            return await made()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(made(), self._loop))

    def in_thread(self, made: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what work comes to, from a thread; raises ConfigError in an event loop, which would stand still."""
        if asyncio._get_running_loop() is not None:  # noqa: SLF001 - get_running_loop raises where there is none
            raise ConfigError("this blocks the event loop: in an async handler use the async form, with `await`")
        if self._loop is None:
            return asyncio.run(made())
        return asyncio.run_coroutine_threadsafe(made(), self._loop).result()
