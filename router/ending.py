"""Ending tasks for certain."""

import asyncio
from collections.abc import Iterable
from typing import Any

__all__ = ["end"]

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
