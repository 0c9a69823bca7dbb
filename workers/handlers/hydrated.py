"""Calling a handler with the record that its event is about, fetched within the attempt and its time."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from typing import Any

from workers.delivery import Delivery
from workers.erp.hydrate import record_of
from workers.handlers.handling import call
from workers.handlers.memory import release
from workers.handlers.scope import Scope, run_in
from workers.record import Record
from workers.subscription import Handler

__all__ = ["call_in", "call_with_record"]


def call_in(
    handler: Handler, deliveries: Sequence[Delivery], thread: Callable[[], Executor] | None, scope: Scope | None = None
) -> Coroutine[Any, Any, list[BaseException | None]]:
    """Call a handler; where it is a plain function, in what `thread` returns, which is asked only then."""
    return call(handler, deliveries, thread and thread(), scope)  # no coroutine around another, for each event


async def call_with_record(
    handler: Handler, deliveries: Sequence[Delivery], thread: Callable[[], Executor] | None, scope: Scope | None = None
) -> list[BaseException | None]:
    """Do what `call_in` does, with the record; where that cannot be fetched, the error that says so is the outcome."""
    try:  # as a part of the attempt: what times out in it cancels the task of the lane, which only that may
        record: Record = await run_in(contextvars.copy_context(), scope, record_of, deliveries[0].event)
    except asyncio.CancelledError:
        raise
    except Exception as error:  # noqa: BLE001 - it is the outcome of this attempt, and must not end the lane
        release(error)
        return [error] * len(deliveries)
    return await call(handler, deliveries, thread and thread(), scope, record)
