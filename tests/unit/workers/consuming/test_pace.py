"""How far ahead several readers of one consumer read."""

import asyncio
from types import SimpleNamespace
from typing import Any

from workers.consuming.in_hand import InHand
from workers.consuming.pace import Pace
from workers.delivery import Held


def pace_of(capacity: int, prefetch: int = 1000) -> tuple[Pace, Any]:
    """Return a pace and the context it looks at, whose `now` is its clock."""
    context: Any = SimpleNamespace(in_hand=InHand(), settings=SimpleNamespace(prefetch=prefetch), now=0.0)
    context.monotonic = lambda: context.now
    return Pace(context, capacity), context


def deliveries(number: int) -> list[Held]:
    """Return so many deliveries."""
    return [Held("p/t", b"%d-0" % place, {}, inbox=False, touched=0.0) for place in range(number)]


def test_readers_share_the_room() -> None:
    """What one reader asks of a source is the room divided by the sources that lately had something, anybody's."""
    pace, context = pace_of(100, prefetch=1)
    pace.was_read("first", 1, 0)
    assert pace.count("first", 2) == 100
    pace.was_read("second", 1, 0)
    pace.was_read("third", 2, 0)
    assert pace.count("first", 2) == 25
    assert pace.count("new", 1) == 20
    context.in_hand.add(deliveries(60))
    assert pace.count("first", 2) == 10


def test_a_reader_without_anything_takes_no_share() -> None:
    """A stream that was busy a while ago leaves the room to those that are busy now."""
    pace, context = pace_of(100, prefetch=1)
    pace.was_read("first", 1, 0)
    pace.was_read("second", 1, 0)
    context.now = 2.0
    pace.was_read("first", 1, 0)
    assert pace.count("first", 1) == 100


def test_a_read_asks_for_something() -> None:
    """However many share the room, a read is for one entry at the least."""
    pace, context = pace_of(1)
    for number in range(50):
        pace.was_read(number, 2, 0)
    context.in_hand.add(deliveries(1))
    assert pace.count(0, 2) == 1


def test_the_speed_is_that_of_all() -> None:
    """Each of several readers sees its own part of the traffic; how far ahead to read follows from the whole of it."""
    pace, context = pace_of(4)
    for _ in range(200):
        for reader in ("first", "second"):
            context.now += 0.01
            pace.was_read(reader, 1, 10)
    assert 240 <= pace.target() - 4 <= 260  # a quarter of a second of a thousand a second


async def test_room_wakes_all_who_wait() -> None:
    """Readers that wait are woken when there is room, not before, and all of them by a stop."""
    pace, context = pace_of(2, prefetch=1)
    first, second, third = deliveries(3)
    context.in_hand.add([first, second, third])
    waiting = [asyncio.create_task(pace.wait_for_room()) for _ in range(3)]
    await asyncio.sleep(0)
    context.in_hand.settle([first])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    context.in_hand.settle([second])
    await asyncio.wait_for(asyncio.gather(*waiting), 30)
    context.in_hand.add([first, second])
    last = asyncio.create_task(pace.wait_for_room())
    await asyncio.sleep(0)
    pace.stop()
    await asyncio.wait_for(last, 30)
