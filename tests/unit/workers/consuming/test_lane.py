"""The one timer that watches all lanes."""

import asyncio
import time

import pytest
from support.waiting import eventually

from workers.consuming.lane import Lane, Watchdog


async def stuck() -> None:
    """Wait for ever."""
    await asyncio.Event().wait()


def lanes(number: int) -> list[Lane]:
    """Return lanes whose handlers hang."""
    made = [Lane() for _ in range(number)]
    for lane in made:
        lane.task = asyncio.create_task(stuck())
    return made


async def end(made: list[Lane]) -> None:
    """End what still runs."""
    for lane in made:
        assert lane.task
        lane.task.cancel()
    await asyncio.gather(*(lane.task for lane in made if lane.task), return_exceptions=True)


async def test_a_handler_over_its_time_is_cancelled_and_told_so() -> None:
    """The lane's task is cancelled, and the lane says that it was for the time."""
    [lane] = lanes(1)
    watchdog = Watchdog([lane], 0.02)
    watchdog.started(lane, time.monotonic())
    assert lane.task
    with pytest.raises(asyncio.CancelledError):
        await lane.task
    assert lane.timed_out
    watchdog.finished(lane)
    assert lane.deadline is None
    watchdog.stop()


async def test_only_those_over_their_time_are_cancelled() -> None:
    """A lane that started later has its own time, watched by the same timer."""
    first, second, idle = made = lanes(3)
    watchdog = Watchdog(made, 0.05)
    watchdog.started(first, time.monotonic())
    timer = watchdog._timer
    assert first.deadline
    first.deadline -= 0.03  # it started earlier
    watchdog.stop()
    watchdog.started(second, time.monotonic())
    assert timer is not watchdog._timer
    await eventually(lambda: first.timed_out and second.timed_out)
    assert not idle.timed_out
    assert idle.task
    assert not idle.task.done()
    await end(made)


async def test_a_finished_handler_is_left_alone() -> None:
    """What ended in time is not cancelled, and with nothing running there is no timer."""
    first, second = made = lanes(2)
    watchdog = Watchdog(made, 0.02)
    watchdog.started(first, time.monotonic())
    watchdog.started(second, time.monotonic())
    watchdog.finished(first)
    await eventually(lambda: second.timed_out)
    assert not first.timed_out
    watchdog.finished(second)
    await eventually(lambda: watchdog._timer is None)
    watchdog.started(first, time.monotonic())
    assert watchdog._timer is not None
    watchdog.finished(first)
    await eventually(lambda: watchdog._timer is None)
    assert not first.timed_out
    await end(made)


async def test_without_a_time_limit_there_is_no_timer() -> None:
    """`timeout=None` watches nothing."""
    [lane] = made = lanes(1)
    watchdog = Watchdog(made, None)
    watchdog.started(lane, time.monotonic())
    assert watchdog._timer is None
    assert lane.deadline is None
    watchdog.stop()
    await end(made)


async def test_a_new_start_forgets_an_earlier_time_out() -> None:
    """A lane is as good as new for its next handler."""
    [lane] = made = lanes(1)
    watchdog = Watchdog(made, 60)
    lane.timed_out = True
    watchdog.started(lane, time.monotonic())
    assert not lane.timed_out
    watchdog.stop()
    assert watchdog._timer is None
    await end(made)


def test_a_lane_keeps_its_thread_until_it_is_abandoned() -> None:
    """A lane has one thread for all its plain handlers; one that hangs is left to itself, and another takes over."""
    lane = Lane("mine")
    assert not lane.abandon_thread()
    first = lane.thread()
    assert lane.thread() is first
    assert lane.abandon_thread()
    assert lane.thread() is not first
    assert lane.abandon_thread()
