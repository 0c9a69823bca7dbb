"""Waiting for a condition instead of for time to pass."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

__all__ = ["eventually"]


async def eventually(
    condition: Callable[[], object | Awaitable[object]],
    timeout: float = 30.0,  # noqa: ASYNC109  a deadline that fails with a message of its own
    interval: float = 0.01,
) -> None:
    """Return as soon as `condition` is true; raise AssertionError when it is not within `timeout` seconds."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + timeout
    while True:
        result = condition()
        if await result if inspect.isawaitable(result) else result:
            return
        if clock() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {inspect.getsource(condition).strip()}")
        await asyncio.sleep(interval)
