"""Commands that show what comes, for as long as somebody reads it: they end when the reader of a pipe has gone.

The next line would tell, but that may be hours away.
"""

import asyncio
import contextlib
import errno
import os
import stat
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import typer

from router.cli.command.runtime import operate
from router.cli.command.stdio import OutputFailed
from router.process.signals import cancelling
from router.tasks.ending import end
from workers.operations.operations import Operations

T = TypeVar("T")


def follow(work: Callable[[Operations], Coroutine[Any, Any, None]]) -> None:
    """Show what comes to the store until Ctrl-C or another signal that ends a process: each ends the command well."""

    async def until_ended(operations: Operations) -> None:
        task = asyncio.current_task()
        assert task is not None
        with cancelling(task):
            await work(operations)

    try:
        operate(until_ended)
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise typer.Exit from None


async def ended_early(work: Coroutine[Any, Any, None]) -> OutputFailed | asyncio.CancelledError | None:
    """Return why work has ended early: its reader has gone, or a person ends it. Neither is a failure of what was done.

    The caller raises it once all is written down.
    """
    try:
        await work
    except (OutputFailed, asyncio.CancelledError) as error:
        return error
    return None


async def while_read(work: Coroutine[Any, Any, T]) -> T:
    """Return what work comes to; raises OutputFailed, once it has ended, when nobody reads the output any more."""
    task = asyncio.create_task(work)
    with _reader_gone() as gone:
        either: tuple[asyncio.Future[Any], ...] = (task, gone)
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end([task])
    if task.cancelled():
        raise OutputFailed(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))
    return task.result()


@contextlib.contextmanager
def _reader_gone() -> Iterator[asyncio.Future[None]]:
    """Yield what is done when standard output is a pipe whose last reader has gone."""
    loop = asyncio.get_running_loop()
    gone: asyncio.Future[None] = loop.create_future()
    with contextlib.ExitStack() as stack:
        if (descriptor := _pipe()) is not None:
            # The end of a pipe that is written to has nothing to read: what wakes its reader is an error alone.
            loop.add_reader(descriptor, gone.cancel)
            stack.callback(loop.remove_reader, descriptor)
        yield gone


def _pipe() -> int | None:
    try:
        descriptor = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):  # no file of the system, as that of a test
        return None
    return descriptor if stat.S_ISFIFO(os.fstat(descriptor).st_mode) else None
