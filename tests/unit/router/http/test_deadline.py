"""One timer for one thing after the other: `router/http/deadline.py`."""

import asyncio

from support.waiting import eventually

from router.http.deadline import Deadline


async def test_what_was_set_last_is_called_once_and_in_its_time() -> None:
    """An earlier deadline replaces a later one, and a later one an earlier."""
    loop = asyncio.get_running_loop()
    deadline, called, began = Deadline(loop), list[str](), loop.time()
    deadline.set(30, lambda: called.append("late"))
    deadline.set(0.01, lambda: called.append("early"))
    deadline.set(0.05, lambda: called.append("last"))
    await eventually(lambda: called)
    assert called == ["last"]
    assert loop.time() - began >= 0.05
    assert deadline._timer is None


async def test_a_later_deadline_leaves_the_timer_alone() -> None:
    """Moving it ahead sets no timer: the one there is looks again."""
    deadline = Deadline(asyncio.get_running_loop())
    deadline.set(10, lambda: None)
    timer = deadline._timer
    for seconds in (20, 30):
        deadline.set(seconds, lambda: None)
    assert deadline._timer is timer
    deadline.stop()


async def test_bringing_forward_never_puts_off() -> None:
    """Who drips cannot move the deadline away."""
    called = list[str]()
    deadline = Deadline(asyncio.get_running_loop())
    deadline.bring_forward(0.02, lambda: called.append("first"))
    deadline.bring_forward(30, lambda: called.append("second"))
    await eventually(lambda: called)
    assert called == ["first"]


async def test_what_is_cleared_is_not_called() -> None:
    """Neither by the timer that is still set, nor after a stop."""
    called = list[str]()
    deadline, other = (Deadline(asyncio.get_running_loop()) for _ in range(2))
    deadline.set(0.01, lambda: called.append("cleared"))
    deadline.clear()
    other.set(0.02, lambda: called.append("other"))
    await eventually(lambda: called)
    assert called == ["other"]
    deadline.set(0.01, lambda: called.append("stopped"))
    deadline.stop()
    assert deadline._timer is None
