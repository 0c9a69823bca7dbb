"""Running what a command does in the event loop, and ending it in order."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import typer
import uvloop

from router.cli.command.interrupt import INTERRUPTED
from router.process.signals import cancelling

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work to its end."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


@contextmanager
def in_order() -> Iterator[None]:
    """Let signals that would end the process cancel the task, and end the command then: raises typer.Exit."""
    task = asyncio.current_task()
    assert task is not None
    with cancelling(task):
        try:
            yield
        except asyncio.CancelledError:
            raise typer.Exit(INTERRUPTED) from None
