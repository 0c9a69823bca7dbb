"""Ending tasks reliably, work that is not to be ended half-way, and waiting for the first of several things."""

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any, TypeVar

from config.errors import RouterError

T = TypeVar("T")

AGAIN = 0.2
"""Seconds until a task that has not ended is cancelled again."""


class CutShort(RouterError):
    """A task that should run until it is stopped ended before: something cancelled it that has no right to."""


def ended_in(task: asyncio.Future[Any]) -> BaseException | None:
    """Return the error that a task has ended in; CutShort where it was cancelled, None where it ended well."""
    if task.cancelled():
        name = task.get_name() if isinstance(task, asyncio.Task) else "a task"
        return CutShort(f"{name} was cancelled, but not by who started it")
    return task.exception()


async def end(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel tasks until they have ended, however: code of others that they run may lose a cancellation.

    A task that lost it would go on for ever with what it was about to leave.
    """
    pending = all_of_them = set(tasks)
    while pending := {task for task in pending if not task.done()}:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=AGAIN)
    for task in all_of_them:
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not report an error that is handled


async def in_time(seconds: float, work: Awaitable[T]) -> T:
    """Return what work comes to; raises TimeoutError where it took longer, once it has ended.

    For all that asks the store. `asyncio.timeout` cancels once only, and `wait_for` of Python 3.11, in which redis-py 8
    sends, loses a cancellation that comes as it ends, where our connections do not make up for that.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task], timeout=max(0.0, seconds))
    finally:
        await end([task])
    if task.cancelled():
        raise TimeoutError(f"no answer within {seconds:g} s")  # which stands in logs and messages
    return task.result()


async def set_within(seconds: float | None, *events: asyncio.Event) -> bool:
    """Wait until one of the events is set, but at most so many seconds (None: for good); return whether one is."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return any(event.is_set() for event in events)


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
