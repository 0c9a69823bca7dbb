"""Calling a handler as it wants to be called, and making one result for each delivery of what it does."""

import asyncio
import contextvars
import inspect
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any

from config.errors import RouterError
from router.process.forking import contained
from workers.delivery import Delivery
from workers.handlers.memory import release
from workers.handlers.returned import outcomes_of
from workers.handlers.scope import Scope, own_context, run_in
from workers.outcomes import AlreadyDone
from workers.record import Record
from workers.subscription import Handler


async def call(
    handler: Handler,
    deliveries: Sequence[Delivery],
    threads: Executor | None = None,
    scope: Scope | None = None,
    record: Record | None = None,
) -> list[BaseException | None]:
    """Run the handler once, in a context of its own; return for each delivery None, or the error that it ended in.

    `record` is what a handler that wants one gets besides.
    A batch handler may return a sequence with one result for each event: None, `RetryLater`, `Defer`, `DeadLetter` or
    another exception. Raises only the cancellation of this call. SystemExit and KeyboardInterrupt count as failures: an
    event must not be able to stop the worker, and a real Ctrl-C arrives as a signal, not in a handler.
    """
    try:
        argument = _argument(handler, deliveries)
        function = handler.function if record is None else _with(handler.function, record)
        if handler.is_async:
            result = await run_in(contextvars.copy_context(), scope, function, argument)
        else:
            result = await _in_thread(function, argument, threads, scope)
        return [None] * len(deliveries) if result is None else outcomes_of(result, len(deliveries), batch=handler.batch)
    except asyncio.CancelledError:
        raise
    except AlreadyDone as done:
        return [done if _names(done, delivery) else BatchCut(done) for delivery in deliveries]
    except BaseException as error:  # noqa: BLE001 - whatever the user's code raises is the outcome of the attempt
        release(error)
        return [error] * len(deliveries)


def _with(function: Callable[..., Any], record: Record) -> Callable[[Any], Any]:
    return lambda argument: function(argument, record)


class BatchCut(RouterError):
    """A batch handler was ended by a block of `once`: what is known to be done is one event of the batch."""

    def __init__(self, done: AlreadyDone) -> None:
        super().__init__(f"{done}, which ended the handler of its batch: use `once.mark` there, which ends nothing")


def _names(done: AlreadyDone, delivery: Delivery) -> bool:
    return done.event == (delivery.event.stream, delivery.event.id, delivery.generation)


def _argument(handler: Handler, deliveries: Sequence[Delivery]) -> Any:
    if not handler.batch:
        return deliveries[0] if handler.wants_delivery else deliveries[0].event
    return list(deliveries) if handler.wants_delivery else [delivery.event for delivery in deliveries]


async def _in_thread(function: Any, argument: Any, threads: Executor | None, scope: Scope | None) -> Any:
    context, loop = own_context(scope), asyncio.get_running_loop()
    result = await loop.run_in_executor(threads, context.run, _guarded, function, argument)
    if isinstance(result, _Raised):
        raise result.error
    return await run_in(context, scope, lambda awaited: awaited, result) if inspect.isawaitable(result) else result


class _Raised:
    """An exception that must not pass through a future as itself (StopIteration cannot, SystemExit should not)."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _guarded(function: Any, argument: Any) -> Any:
    try:
        return contained(function, argument)
    except BaseException as error:  # noqa: BLE001 - as above
        release(error)
        return _Raised(error)
