"""Work in a context of its own, within the running task."""

import asyncio
import contextvars
import gc
import traceback
import weakref
from collections.abc import Awaitable, Generator
from contextlib import suppress
from typing import Any

import pytest

from workers.handlers.scope import SCOPE, Scope, run_in

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


async def run(function: Any, argument: Any = None, scope: Scope | None = None) -> Any:
    """Run a function in a copy of this context."""
    return await run_in(contextvars.copy_context(), scope, function, argument)


class Waiting:
    """Something awaitable that is no coroutine."""

    def __await__(self) -> Generator[Any, Any, str]:
        yield from asyncio.sleep(0).__await__()
        return "waited"


async def test_the_result_and_the_steps_are_those_of_the_work() -> None:
    """What is returned comes back, at once or after any number of steps; any awaitable will do."""

    async def steps(number: int) -> int:
        for _ in range(number):
            await asyncio.sleep(0)
        return number

    def waiting(_: Any) -> Awaitable[str]:
        return Waiting()

    assert [await run(steps, number) for number in (0, 1, 3)] == [0, 1, 3]
    assert await run(waiting) == "waited"


async def test_each_step_sees_what_the_work_has_set_and_nobody_else_does() -> None:
    """The context is the work's own from its first step to its last, and that of the tasks which it starts."""
    seen: list[Any] = []
    scope = Scope(None)

    async def look() -> None:
        seen.append((VARIABLE.get(), SCOPE.get()))

    async def work(_: Any) -> None:
        VARIABLE.set("set")
        await asyncio.sleep(0)
        await look()
        await asyncio.create_task(look())

    await run(work, scope=scope)
    assert seen == [("set", scope)] * 2
    assert (VARIABLE.get(), SCOPE.get()) == ("unset", None)


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), GeneratorExit(), asyncio.CancelledError()])
@pytest.mark.parametrize("steps", [0, 1])
async def test_an_error_is_passed_on_and_the_next_work_runs(error: BaseException, steps: int) -> None:
    """Whatever is raised comes out as it is; and after a traceback was cleared, as that of a MemoryError is."""

    async def fails(_: Any) -> None:
        for _ in range(steps):
            await asyncio.sleep(0)
        raise error

    async def works(argument: Any) -> Any:
        return argument

    for _ in range(2):
        with pytest.raises(type(error)) as raised:
            await run(fails)
        assert raised.value is error
        traceback.clear_frames(error.__traceback__)
        assert await run(works, "next") == "next"


async def test_a_cancellation_reaches_the_work() -> None:
    """Who cancels the task cancels what its work awaits, and the work may have its say."""
    said: list[str] = []

    async def work(_: Any) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            said.append("cancelled")
        return "went on"

    task = asyncio.create_task(run(work))
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "went on"
    assert said == ["cancelled"]


async def test_a_time_limit_of_the_work_holds() -> None:
    """`asyncio.timeout` cancels the task that it was made in, which is the one that the work runs in."""

    async def work(_: Any) -> None:
        async with asyncio.timeout(0.001):
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await run(work)


async def test_work_that_is_left_in_the_middle_is_closed() -> None:
    """A coroutine that nobody goes on with runs its `finally`."""
    closed: list[str] = []

    async def work(_: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            closed.append("closed")

    left = run(work)
    left.send(None)
    left.close()
    assert closed == ["closed"]


async def test_nothing_of_the_work_is_kept() -> None:
    """What it was given, returned, raised and set is free as soon as who ran it lets go."""

    class Thing:
        pass

    kept: list[weakref.ref[Thing]] = []
    variable: contextvars.ContextVar[Thing] = contextvars.ContextVar("variable")

    async def work(thing: Thing, *, error: bool = False) -> Thing:
        variable.set(thing)
        kept.append(weakref.ref(thing))
        if error:
            raise ValueError(thing)
        return thing

    async def fails(thing: Thing) -> None:
        await work(thing, error=True)

    await run(work, Thing())
    with suppress(ValueError):
        await run(fails, Thing())
    gc.collect()
    assert [reference() for reference in kept] == [None, None]


async def test_works_run_side_by_side() -> None:
    """Each has its own place to stop at, and its own context."""
    order: list[str] = []

    async def work(name: str) -> str:
        VARIABLE.set(name)
        for _ in range(3):
            order.append(name)
            await asyncio.sleep(0)
        return VARIABLE.get()

    assert await asyncio.gather(*(run(work, name) for name in "abc")) == ["a", "b", "c"]
    assert order == ["a", "b", "c"] * 3
