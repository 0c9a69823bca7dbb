"""Calling a handler with the record that its event is about, fetched within the attempt and its time."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from typing import Any, Protocol

from workers.delivery import Delivery
from workers.erp.hydrate import record_of
from workers.handlers.handling import call
from workers.handlers.memory import release
from workers.handlers.scope import Scope, run_in
from workers.record import Record
from workers.subscription import Handler

__all__ = ["Echoes", "call_in", "call_with_record"]


class UnderWay(Protocol):
    """An attempt that others may have to wait for."""

    async def leave(self, *, handled: bool) -> None:
        """Say how it ended."""


class Echoes(Protocol):
    """What tells echoes of our own writes from changes of others."""

    async def judge(self, delivery: Delivery, record: Record) -> UnderWay | BaseException | None:
        """Return the attempt that begins, None where nobody needs to know of it; or what its outcome is already."""


def call_in(
    handler: Handler, deliveries: Sequence[Delivery], thread: Callable[[], Executor] | None, scope: Scope | None = None
) -> Coroutine[Any, Any, list[BaseException | None]]:
    """Call a handler; where it is a plain function, in what `thread` returns, which is asked only then."""
    return call(handler, deliveries, thread and thread(), scope)  # no coroutine around another, for each event


async def call_with_record(
    handler: Handler,
    deliveries: Sequence[Delivery],
    thread: Callable[[], Executor] | None,
    scope: Scope | None = None,
    *,
    echoes: Echoes | None = None,
) -> list[BaseException | None]:
    """Do what `call_in` does, with the record; where that cannot be fetched, the error that says so is the outcome.

    echoes: what tells whether the record holds nothing new but writes of ours; the handler is left out then.
    """
    attempt: UnderWay | None = None
    try:  # as a part of the attempt: what times out in it cancels the task of the lane, which only that may
        record: Record = await run_in(contextvars.copy_context(), scope, record_of, deliveries[0].event)
        if echoes is not None:
            found = await echoes.judge(deliveries[0], record)
            if isinstance(found, BaseException):
                return [found] * len(deliveries)
            attempt = found
    except asyncio.CancelledError:
        raise
    except Exception as error:  # noqa: BLE001 - it is the outcome of this attempt, and must not end the lane
        release(error)
        return [error] * len(deliveries)
    results = await call(handler, deliveries, thread and thread(), scope, record)
    if attempt is not None:
        await attempt.leave(handled=results[0] is None)
    return results
