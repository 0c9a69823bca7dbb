"""Calling a handler as it wants to be called, and making one result for each delivery of what it does."""

import asyncio
import contextvars
import inspect
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

from config.errors import RouterError
from workers.delivery import Delivery
from workers.memory import release
from workers.subscription import Handler

__all__ = ["BadReturn", "call"]


class BadReturn(RouterError):
    """A batch handler returned a list that does not fit its batch."""


async def call(handler: Handler, deliveries: Sequence[Delivery], threads: Executor | None = None) -> list[Any]:
    """Run the handler once; return for each delivery what it returned, or the exception it raised.

    A batch handler may return a list with one result for each event: None, `RetryLater`, `DeadLetter` or another
    exception. Raises only the cancellation of this call. SystemExit and KeyboardInterrupt count as failures: an event
    must not be able to stop the worker, and a real Ctrl-C arrives as a signal, not in a handler.
    """
    try:
        argument = _argument(handler, deliveries)
        result = await (handler.function(argument) if handler.is_async else _in_thread(handler, argument, threads))
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever the user's code raises is the outcome of the attempt
        release(error)
        return [error] * len(deliveries)
    if handler.batch and isinstance(result, list):
        if len(result) != len(deliveries):
            return [BadReturn(f"a batch of {len(deliveries)} got {len(result)} results")] * len(deliveries)
        return result
    return [result] * len(deliveries)


def _argument(handler: Handler, deliveries: Sequence[Delivery]) -> Any:
    if not handler.batch:
        return deliveries[0] if handler.wants_delivery else deliveries[0].event
    return list(deliveries) if handler.wants_delivery else [delivery.event for delivery in deliveries]


async def _in_thread(handler: Handler, argument: Any, threads: Executor | None) -> Any:
    context = contextvars.copy_context()
    future = asyncio.get_running_loop().run_in_executor(threads, context.run, _guarded, handler.function, argument)
    result = _unwrapped(await future)
    return await result if inspect.isawaitable(result) else result


class _Raised:
    """An exception that must not pass through a future as itself (StopIteration cannot, SystemExit should not)."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _guarded(function: Any, argument: Any) -> Any:
    try:
        return function(argument)
    except BaseException as error:  # noqa: BLE001 - as above
        release(error)
        return _Raised(error)


def _unwrapped(result: Any) -> Any:
    if isinstance(result, _Raised):
        raise result.error
    return result
