"""Running out of memory: `workers/handlers/memory.py`."""

import gc
import subprocess
import sys
import weakref

from workers import Event, Subscription
from workers.delivery import Delivery
from workers.handlers.handling import call

SUBJECT = """
import asyncio
from workers.handlers.loop import run

def fails():
    raise {error}

async def main():
    asyncio.get_running_loop().call_soon(fails)
    await asyncio.sleep(0.05)
    print("still here")

run(main())
"""


class Hoard:
    """What a handler holds."""


async def test_what_a_handler_without_memory_held_is_free_when_its_attempt_has_failed() -> None:
    """The frames of a MemoryError are cleared, so that there is memory for what comes next."""
    held: list[weakref.ref[Hoard]] = []

    def fill(hoard: Hoard) -> None:
        held.append(weakref.ref(hoard))
        raise MemoryError

    async def handle(event: Event) -> None:
        hoard = Hoard()
        try:
            fill(hoard)
        except MemoryError as error:
            raise MemoryError("again") from error

    subscription = Subscription("hoarding", events=["*"])
    subscription.handler(handle)
    delivery = Delivery(event=None, subscription="hoarding")  # type: ignore[arg-type]  # the handler does not look
    [result] = await call(subscription.handled_by, [delivery])
    assert isinstance(result, MemoryError)
    gc.collect()
    assert held[0]() is None


def test_a_callback_without_memory_ends_the_process() -> None:
    """The event loop cannot go on then: the process ends with exit code 1 and says why, without a traceback."""
    done = _run(SUBJECT.format(error="MemoryError"))
    assert done.returncode == 1
    assert b"out of memory" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"still here" not in done.stdout


def test_any_other_error_of_a_callback_does_not() -> None:
    """It is reported by the event loop, as ever."""
    done = _run(SUBJECT.format(error="ValueError('other')"))
    assert done.returncode == 0
    assert b"other" in done.stderr
    assert b"still here" in done.stdout


def _run(program: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, check=False)


async def test_an_error_that_a_handler_made_its_own_cause_ends_its_attempt() -> None:
    """`raise error from error` makes a chain without an end: the worker does not follow it for ever."""

    async def handle(event: Event) -> None:
        error = MemoryError("none left")
        raise error from error

    subscription = Subscription("circular", events=["*"])
    subscription.handler(handle)
    delivery = Delivery(event=None, subscription="circular")  # type: ignore[arg-type]  # the handler does not look
    [result] = await call(subscription.handled_by, [delivery])
    assert isinstance(result, MemoryError)
