"""Whose code runs: the scope of an attempt, which all that its handler starts carries in its context.

Tasks, timers, callbacks and threads copy the context that they are made in. So code that asks the process to exit, or
cancels a task, is known to be an attempt's, of which one, and whether that still runs; and what it sets in a context
variable is gone with the attempt.
"""

import asyncio
import contextlib
import contextvars
import decimal
import types
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

import msgspec

from router.process import forking
from router.telemetry import logs
from workers.failure import described

T = TypeVar("T")

_running_loop = asyncio._get_running_loop  # noqa: SLF001 - documented, for those who make event loops
_loop: asyncio.AbstractEventLoop | None = None
log = logs.get("worker")


class Owner(Protocol):
    """What an attempt belongs to, such as its lane; `timed_out` says whether it is ended for taking too long."""

    timed_out: bool

    def charged(self) -> None:
        """End the handler of the attempt that runs now, which has failed."""


class Scope(msgspec.Struct, eq=False):  # made for each attempt: in a quarter of the time of a plain class
    """One attempt; `owner` is None once it is over.

    `error`: what escaped from a callback or a task of the attempt, and would have ended the process. It is the outcome
    of the attempt, whatever the handler returns.
    """

    owner: Owner | None
    error: BaseException | None = None

    def run(self, callback: Callable[..., object], *args: object) -> None:
        """Call a callback of the event loop; an exit that it asks for ends the attempt, and not the process."""
        generation = forking.generation
        try:
            callback(*args)
        except BaseException as error:
            forking.end_forked(generation, error)
            if not isinstance(error, SystemExit | KeyboardInterrupt):
                raise
            self.charge(error)
        finally:
            if _loop is not None and _running_loop() is not _loop:
                _run_again()
        if forking.generation != generation:
            forking.end_forked(generation, None)

    def charge(self, error: BaseException) -> None:
        """End the attempt with this error, if it still runs."""
        owner = self.owner
        report(error, charged=owner is not None)
        if owner is not None and self.error is None:
            self.error = error
            owner.charged()


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


def own_context(scope: Scope | None) -> contextvars.Context:
    """Return a context of its own for an attempt: a copy of the current one."""
    context = contextvars.copy_context()
    context.run(_enter, scope)
    return context


def _enter(scope: Scope | None) -> None:
    SCOPE.set(scope)
    if _DECIMAL is not None and (shared := _DECIMAL.get(None)) is not None:
        _DECIMAL.set(shared.copy())


async def run_in(
    context: contextvars.Context, scope: Scope | None, function: Callable[[Any], Awaitable[Any]], argument: Any
) -> Any:
    """Await a function in a context of its own, in the running task: a task for each costs more than short work."""
    try:
        runner = _idle.pop()
    except IndexError:
        runner = _new_runner()
    generation = forking.generation
    ended = context.run(runner.send, (scope, function, argument))
    if forking.generation != generation:
        _end_forked(generation, ended)
    if _loop is not None and _running_loop() is not _loop:
        _run_again()
    if ended is not _DONE and type(ended) is not _Ended:
        ended = await _steps(context, runner, ended)
    if ended.error is not None:
        raise ended.error  # its traceback holds the runner's frame, and may be cleared: that runner is used up
    _idle.append(runner)
    return ended.result


class _Ended:
    """What work has come to; a value, since raising StopIteration would cost as much as all the rest."""

    __slots__ = ("error", "result")

    def __init__(self, result: Any = None, error: BaseException | None = None) -> None:
        self.result, self.error = result, error


_DONE = _Ended()
_idle: list[Generator[Any, Any, Any]] = []
"""Runners that wait for work, kept since making one takes longer than short work."""


def _new_runner() -> Generator[Any, Any, Any]:
    runner = _runner()
    next(runner)
    return runner


@types.coroutine
def _runner() -> Generator[Any, Any, Any]:
    """Run the work that is sent, in the context of who sends; yield what it awaits, and in the end what it came to."""
    ended = [_DONE]
    while True:
        scope, function, argument = yield ended.pop()  # nothing of an attempt is kept until the next
        try:
            _enter(scope)
            work = function(argument)
            result = yield from (work if type(work) is types.CoroutineType else _awaited(work))
            ended.append(_DONE if result is None else _Ended(result))
        except GeneratorExit:
            raise  # closed from outside, or raised by the work: there is no difference to see
        except BaseException as error:  # noqa: BLE001 - raised again by who has sent the work
            ended.append(_Ended(error=error))
        work = result = scope = function = argument = None


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


@types.coroutine
def _steps(context: contextvars.Context, runner: Any, awaited: Any) -> Generator[Any, Any, Any]:
    """Go on with work that awaits something, until it has ended."""
    while type(awaited) is not _Ended:
        try:
            step, given = runner.send, (yield awaited)
        except BaseException as error:  # noqa: BLE001 - a cancellation, or what was awaited failed: the work's to handle
            step, given = runner.throw, error
        generation = forking.generation
        awaited = context.run(step, given)
        if forking.generation != generation:
            _end_forked(generation, awaited)
        if _loop is not None and _running_loop() is not _loop:
            _run_again()
    return awaited


@contextlib.contextmanager
def run_within(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Meanwhile have this event loop, in which attempts run, stay the running one for all others."""
    global _loop  # noqa: PLW0603 - one for the whole process: to ask for it before each step takes as long
    _loop = loop
    try:
        yield
    finally:
        _loop = None


def _run_again() -> None:
    """Have our event loop be the running one again, where code of an attempt has said that none is, or another.

    Who wants to run a loop within this one does so. Nothing of the worker could wait for anything any more.
    """
    asyncio._set_running_loop(_loop)  # noqa: SLF001 - likewise


def _end_forked(generation: int, awaited: Any) -> None:
    """End a process that the work has forked, with the work, or where it would await in a loop that is not its own."""
    error = awaited.error if type(awaited) is _Ended else RuntimeError(_NOT_HERE)
    forking.end_forked(generation, error)
