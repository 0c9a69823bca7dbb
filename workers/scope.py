"""Whose code runs: the scope of an attempt, which all that its handler starts carries in its context.

Tasks, timers, callbacks and threads copy the context that they are made in. So code that asks the process to exit, or
cancels a task, can be told to be an attempt's, of which one, and whether that still runs; and what it sets in a context
variable is gone with the attempt.
"""

import contextvars
import decimal
import os
import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar
from typing import Any, TypeVar

from router import logs
from router.forking import end_forked
from workers.failure import described

__all__ = ["SCOPE", "Scope", "enter", "report", "stepped"]

T = TypeVar("T")

log = logs.get("worker")


class Scope:
    """One attempt; `interrupt` cancels its handler, and is None before and after the attempt.

    `error`: what escaped from a callback or a task of the attempt, and would have ended the process. It is the outcome
    of the attempt, whatever the handler returns.
    """

    __slots__ = ("error", "interrupt")

    def __init__(self, interrupt: Callable[[], object] | None = None) -> None:
        self.interrupt = interrupt
        self.error: BaseException | None = None

    def run(self, callback: Callable[..., object], *args: object) -> None:
        """Call a callback of the event loop; an exit that it asks for ends the attempt, and not the process."""
        process = os.getpid()
        try:
            callback(*args)
        except (SystemExit, KeyboardInterrupt) as error:
            end_forked(process, error)
            self.charge(error)
        end_forked(process, None)

    def charge(self, error: BaseException) -> None:
        """End the attempt with this error, if it still runs."""
        report(error, charged=self.interrupt is not None)
        if self.interrupt is not None and self.error is None:
            self.error = error
            self.interrupt()


def report(error: BaseException, *, charged: bool) -> None:
    """Log that code of a handler was kept from ending the process, and whether an attempt is charged with that."""
    name, text = described(error)
    log.error("exit_refused", error=name, message=text, charged=charged)


_NOT_HERE = "a process that a handler forked cannot await in the event loop of its worker: use asyncio.run"

SCOPE: ContextVar[Scope | None] = ContextVar("event-router-attempt", default=None)


def _decimal_variable() -> ContextVar[decimal.Context] | None:
    """Return where `decimal` keeps its context: an object that can be changed, which all copies would share."""

    def find() -> ContextVar[Any] | None:
        decimal.getcontext()
        return next((variable for variable in contextvars.copy_context() if variable.name == "decimal_context"), None)

    return contextvars.Context().run(find)


_DECIMAL = _decimal_variable()


def enter(scope: Scope | None) -> None:
    """Make the current context, a copy, one of its own for an attempt."""
    SCOPE.set(scope)
    if _DECIMAL is not None and (shared := _DECIMAL.get(None)) is not None:
        _DECIMAL.set(shared.copy())


@types.coroutine
def stepped(context: contextvars.Context, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Await work in a context of its own, in the running task: a task for each would cost more than a short handler."""
    step: Callable[[Any], Any] = work.send
    given: Any = None
    process = os.getpid()
    while True:
        try:
            awaited = context.run(step, given)
        except StopIteration as end:
            end_forked(process, None)
            result: T = end.value
            return result
        except BaseException as error:
            end_forked(process, error)
            raise
        if os.getpid() != process:
            end_forked(process, RuntimeError(_NOT_HERE))
        try:
            given = yield awaited
        except BaseException as error:  # noqa: BLE001 - a cancellation, or what was awaited failed: the work's to handle
            step, given = work.throw, error
        else:
            step = work.send
