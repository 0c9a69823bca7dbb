"""Calling a handler."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from workers import DeadLetter, Delivery, Event
from workers.handlers.handling import call
from workers.handlers.returned import BadReturn
from workers.subscription import inspect_handler


def delivery(name: str) -> Delivery:
    """Return a delivery."""
    event = Event(
        id=name, publisher="p", type="t", wire_event="t", received_at=datetime(2025, 1, 1, tzinfo=UTC), raw=b"{}"
    )
    return Delivery(event, "sub")


ONE, TWO = delivery("a"), delivery("b")


async def run(function: Any, *deliveries: Delivery, threads: ThreadPoolExecutor | None = None) -> list[Any]:
    """Call a handler."""
    return await call(inspect_handler(function), deliveries or (ONE,), threads)


async def test_each_handler_gets_what_it_wants() -> None:
    """An Event, a Delivery, or a list of either."""
    got: list[Any] = []

    async def event(event: Event) -> None:
        got.append(event)

    async def whole(delivery: Delivery) -> None:
        got.append(delivery)

    async def events(events: list[Event]) -> None:
        got.append(events)

    async def deliveries(deliveries: list[Delivery]) -> None:
        got.append(deliveries)

    assert await run(event) == [None]
    assert await run(whole) == [None]
    assert await run(events, ONE, TWO) == [None, None]
    assert await run(deliveries, ONE) == [None]
    assert got == [ONE.event, ONE, [ONE.event, TWO.event], [ONE]]


async def test_a_list_is_a_result_only_of_a_batch() -> None:
    """A handler of one event has one outcome to return: a list is none."""

    async def one(event: Event) -> Any:
        return [None]

    [result] = await run(one)
    assert isinstance(result, BadReturn)


async def test_a_batch_may_return_one_result_each() -> None:
    """The results of a batch belong to its events by position; what is no sequence of outcomes fails all of them."""
    errors = [None, ValueError("second")]

    async def each(events: list[Event]) -> Any:
        return tuple(errors)

    def plain(events: list[Event]) -> Any:
        return (error for error in errors)

    assert await run(each, ONE, TWO) == errors
    assert [type(result) for result in await run(plain, ONE, TWO)] == [BadReturn] * 2


async def test_a_batch_with_the_wrong_number_of_results_failed() -> None:
    """Nobody can tell which result is whose, so all are tried again."""

    async def handler(events: list[Event]) -> Any:
        return [None]

    results = await run(handler, ONE, TWO)
    assert [type(result) for result in results] == [BadReturn, BadReturn]
    assert str(results[0]) == "a batch of 2 got 1 results"


class Unusual(BaseException):
    """An error outside of Exception."""


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), StopIteration(1), GeneratorExit(), Unusual()])
async def test_what_a_handler_raises_is_its_result(error: BaseException) -> None:
    """Whatever is raised is the outcome of the attempt, from a coroutine and from a thread."""

    def plain(event: Event) -> None:
        raise error

    async def coroutine(events: list[Event]) -> None:
        raise error

    with ThreadPoolExecutor(1) as threads:
        results = await run(plain, threads=threads) + await run(coroutine, ONE, TWO)
    assert len(results) == 3
    # No coroutine can let a StopIteration out: Python makes a RuntimeError of it.
    assert all(error in (result, result.__cause__) for result in results)


async def test_a_plain_function_runs_in_the_pool() -> None:
    """Its thread is one of the pool's, and its result comes back."""

    def plain(event: Event) -> Any:
        return DeadLetter(threading.current_thread().name)

    with ThreadPoolExecutor(1, "mine") as threads:
        [result] = await run(plain, threads=threads)
    assert str(result).startswith("mine")


async def test_a_cancellation_is_passed_on() -> None:
    """Whoever cancels the call finds it cancelled."""

    async def handler(event: Event) -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(run(handler))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_plain_function_that_returns_a_coroutine_is_not_done() -> None:
    """A lambda or a decorator around a coroutine function: it is awaited, or it failed, but it is not silently lost."""
    awaited = []

    async def handler(event: Event) -> None:
        awaited.append(event)

    with ThreadPoolExecutor(1) as threads:
        [result] = await run(lambda event: handler(event), threads=threads)  # noqa: PLW0108  the point of it
    if asyncio.iscoroutine(result):
        result.close()
    assert awaited or isinstance(result, BaseException)
