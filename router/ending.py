"""Ending tasks for certain, and work that is not to be ended half-way."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

__all__ = ["end", "whole"]

T = TypeVar("T")

_AGAIN = 0.2
"""Seconds until a task that has not ended is cancelled again."""


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they have ended, however: `wait_for` of Python 3.11, inside redis-py, can lose a cancellation.

    A task that lost it would go on for ever with what it was about to leave.
    """
    pending = all_of_them = set(tasks)
    while pending := {task for task in pending if not task.done()}:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=_AGAIN)
    for task in all_of_them:
        if not task.cancelled():
            task.exception()  # looked at, lest asyncio report what nobody waits for any more


async def whole(work: Coroutine[Any, Any, T]) -> T:
    """Return what work comes to. Who is cancelled meanwhile, however often, ends when the work has: so it is known."""
    task = asyncio.create_task(work)
    interrupted: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            interrupted = error
    if interrupted is not None:
        await end([task])  # it has ended: its error, if it has one, is looked at
        raise interrupted
    return task.result()
