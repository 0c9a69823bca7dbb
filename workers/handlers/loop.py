"""The event loop of a worker, which no handler can end.

A task or a callback that raises SystemExit or KeyboardInterrupt ends any event loop, and a call of its `stop` does: one
event would end the worker, uncounted, and the next worker too. Here code of an attempt (`workers/handlers/scope.py`)
ends that attempt instead, and cannot cancel tasks of the worker.
"""

# Arguments are passed on as they come, and not typed again as generically as in the base classes.
# mypy: disable-error-code="override"

import asyncio
import contextvars
import signal
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import uvloop

from config.errors import RouterError
from router.process.signals import HANDLED
from workers.handlers.memory import end_at_once
from workers.handlers.scope import SCOPE, report, run_within

T = TypeVar("T")
_soon, _soon_threadsafe, _later = uvloop.Loop.call_soon, uvloop.Loop.call_soon_threadsafe, uvloop.Loop.call_later


class LoopStopped(RouterError):
    """A handler stopped the event loop that it runs in."""


class NotYours(RouterError):
    """A handler called a method of the event loop that would break the worker."""


class WorkerTask(asyncio.Task[Any]):
    """A task of the worker: an attempt that cancels every task it finds does not cancel this one."""

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel the task, unless code of an attempt asks for it."""
        return SCOPE.get() is None and super().cancel(msg)


class WorkerLoop(uvloop.Loop):
    """Runs handlers beside the worker, and keeps what they do to the loop to their attempts."""

    def call_soon(self, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Any:
        """Call back in the next round."""
        scope = SCOPE.get() if context is None else context.get(SCOPE)
        if scope is None:
            return _soon(self, callback, *args, context=context)
        return _soon(self, scope.run, callback, *args, context=context)

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Any:
        """Call back in the next round, asked from any thread."""
        return _soon_threadsafe(self, *_kept(callback, context), *args, context=context)

    def call_later(self, delay: float, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Any:
        """Call back after `delay` seconds."""
        scope = SCOPE.get() if context is None else context.get(SCOPE)
        if scope is None:
            return _later(self, delay, callback, *args, context=context)
        return _later(self, delay, scope.run, callback, *args, context=context)

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:
        """Call back whenever there is something to read."""
        super().add_reader(fd, *_kept(callback, None), *args)

    def add_writer(self, fd: Any, callback: Any, *args: Any) -> None:
        """Call back whenever there is room to write."""
        super().add_writer(fd, *_kept(callback, None), *args)

    def create_task(self, coro: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
        """Return a task: of the attempt that makes it, or else of the worker."""
        if SCOPE.get() is not None:
            return super().create_task(coro, **options)
        return WorkerTask(coro, loop=self, **options)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Report an error that nobody awaited; want of memory ends the process, whatever a handler set.

        It is called when an object is freed, in the midst of anybody's code: no attempt is charged with an exit.
        """
        if isinstance(context.get("exception"), MemoryError):
            end_at_once()
        try:
            super().call_exception_handler(context)
        except (SystemExit, KeyboardInterrupt) as error:
            report(error, charged=False)

    def stop(self) -> None:
        """Stop the loop; where a handler asks for it, end its attempt."""
        if (scope := SCOPE.get()) is None:
            super().stop()
        else:
            scope.charge(LoopStopped("the handler stopped the event loop, which is the worker's: return instead"))

    def set_task_factory(self, factory: Any) -> None:
        """Have tasks made otherwise; no handler may, since that concerns all handlers."""
        _refuse("set_task_factory")
        super().set_task_factory(factory)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """Call in a thread, for an attempt in its context, as `asyncio.to_thread` does; or in a pool of processes."""
        if SCOPE.get() is not None and (executor is None or isinstance(executor, ThreadPoolExecutor)):
            return super().run_in_executor(executor, contextvars.copy_context().run, func, *args)
        return super().run_in_executor(executor, func, *args)

    async def shutdown_default_executor(self, *args: Any) -> None:
        """End the threads that look up names; no handler may, since the worker could reach no store any more."""
        _refuse("shutdown_default_executor")
        await super().shutdown_default_executor(*args)

    def add_signal_handler(self, sig: int, callback: Any, *args: Any) -> None:
        """Call back for a signal; no handler may take those that stop or reload the worker."""
        if sig in HANDLED:
            _refuse("add_signal_handler")
        super().add_signal_handler(sig, *_kept(callback, None), *args)

    def remove_signal_handler(self, sig: int) -> bool:
        """Stop calling back for a signal; no handler may for those that stop or reload the worker."""
        if sig in HANDLED:
            _refuse("remove_signal_handler")
        return super().remove_signal_handler(sig)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a worker to its end on such a loop.

    An exit of code that is no attempt's, such as a thread's that a handler started, ends nothing either.
    """
    with asyncio.Runner(loop_factory=WorkerLoop) as runner:
        loop = runner.get_loop()
        task = loop.create_task(work)
        with run_within(loop):
            while True:
                try:
                    return loop.run_until_complete(task)
                except (SystemExit, KeyboardInterrupt, RuntimeError) as error:
                    if task.done() or loop.is_closed() or _interrupted(error):
                        raise
                    report(error, charged=False)


def _interrupted(error: BaseException) -> bool:
    """Return whether it is the terminal's interrupt, which raises where no signal handler was installed."""
    return isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _kept(callback: Any, context: contextvars.Context | None) -> tuple[Any, ...]:
    """Return what to call, with its first arguments, so that an exit of an attempt's callback ends the attempt."""
    scope = SCOPE.get() if context is None else context.get(SCOPE)
    return (callback,) if scope is None else (scope.run, callback)


def _refuse(method: str) -> None:
    if SCOPE.get() is not None:
        raise NotYours(f"a handler called {method} of the event loop, which is the worker's: leave the loop as it is")
