"""The queue between the reader and the lanes."""

import asyncio
from typing import Any

from workers.consuming.buffer import Buffer
from workers.delivery import Held


def held(name: str, **fields: str) -> Held:
    """Return a delivery."""
    encoded = {key.encode(): value.encode() for key, value in {"id": name, **fields}.items()}
    return Held("p/t", name.encode(), encoded, inbox=False, touched=0.0)


def names(items: list[Held]) -> list[str]:
    """Return their names."""
    return [item.event_id for item in items]


async def turn() -> None:
    """Let every task go on that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def taking(buffer: Buffer, number: int) -> list["asyncio.Task[Any]"]:
    """Return tasks that wait for a delivery each."""
    tasks = [asyncio.create_task(buffer.get()) for _ in range(number)]
    await turn()
    return tasks


async def test_first_in_first_out() -> None:
    """Deliveries are handed out in the order in which they were read."""
    buffer = Buffer()
    buffer.put([held("a"), held("b")])
    buffer.put([held("c")])
    assert len(buffer) == 3
    assert names([await buffer.get() for _ in range(3)]) == ["a", "b", "c"]
    assert len(buffer) == 0


async def test_as_many_takers_wake_as_there_are_deliveries() -> None:
    """Waiting takers get one each, in their order, and the rest wait on."""
    buffer = Buffer()
    tasks = await taking(buffer, 3)
    buffer.put([held("a"), held("b")])
    await turn()
    assert [task.done() for task in tasks] == [True, True, False]
    assert names([task.result() for task in tasks[:2]]) == ["a", "b"]
    buffer.put([held("c")])
    assert (await tasks[2]).event_id == "c"


async def test_nothing_put_wakes_nobody() -> None:
    """An empty list is no delivery."""
    buffer = Buffer()
    [task] = await taking(buffer, 1)
    buffer.put([])
    await turn()
    assert not task.done()
    task.cancel()


async def test_a_cancelled_taker_does_not_take_a_turn() -> None:
    """A taker that was cancelled while it waited is passed over."""
    buffer = Buffer()
    first, second = await taking(buffer, 2)
    first.cancel()
    await turn()
    buffer.put([held("a")])
    assert (await second).event_id == "a"


async def test_a_taker_cancelled_after_its_turn_came_passes_it_on() -> None:
    """A delivery is not left lying when the taker that was woken for it is cancelled."""
    buffer = Buffer()
    first, second = await taking(buffer, 2)
    buffer.put([held("a")])
    first.cancel()  # woken, but has not run yet
    assert (await second).event_id == "a"
    assert first.cancelled()


async def test_a_taker_cancelled_with_nobody_else_leaves_the_delivery() -> None:
    """What a cancelled taker did not take is there for the next."""
    buffer = Buffer()
    [task] = await taking(buffer, 1)
    buffer.put([held("a")])
    task.cancel()
    await turn()
    assert (await buffer.get()).event_id == "a"


async def test_a_taker_cancelled_after_the_delivery_was_cleared() -> None:
    """Nothing is passed on when there is nothing any more."""
    buffer = Buffer()
    first, second = await taking(buffer, 2)
    buffer.put([held("a")])
    assert names(buffer.clear()) == ["a"]
    first.cancel()
    await turn()
    assert not second.done()
    second.cancel()


async def test_a_waiter_that_is_done_already_is_passed_over() -> None:
    """A wake goes to somebody who waits, not to one whose future was cancelled in the same turn of the loop."""
    buffer = Buffer()
    first, second = await taking(buffer, 2)
    first.cancel()  # its future is cancelled now, it takes note of that later
    buffer.put([held("a")])
    assert (await second).event_id == "a"


async def test_a_woken_taker_waits_again_when_another_was_faster() -> None:
    """Who comes before a woken taker has run takes the delivery; the woken one waits on."""
    buffer = Buffer()
    [task] = await taking(buffer, 1)
    buffer.put([held("a")])
    assert (await buffer.get()).event_id == "a"
    await turn()
    assert not task.done()
    buffer.put([held("b")])
    assert (await task).event_id == "b"


async def test_a_batch_takes_what_never_failed() -> None:
    """A batch ends before a delivery that failed or crashed, which is handled alone, and at its limit."""
    buffer = Buffer()
    buffer.put([held("a"), held("b"), held("c"), held("bad", attempts="1"), held("d"), held("suspect", crashes="1")])
    assert names(buffer.more(2)) == ["a", "b"]
    assert names(buffer.more(9)) == ["c"]
    assert buffer.more(9) == []
    assert names(buffer.more(0)) == []
    await buffer.get()
    assert names(buffer.more(9)) == ["d"]
    assert names(buffer.clear()) == ["suspect"]
    assert buffer.more(9) == []


async def test_a_batch_that_is_open_gets_all_that_comes() -> None:
    """While a batch waits for more, what never failed goes to it, not to idle takers; it ends when it is full."""
    buffer = Buffer()
    idle, batch = await taking(buffer, 2), [held("a")]
    gathering = asyncio.create_task(buffer.gather(batch, 4, 60))
    await turn()
    for name in ("b", "c"):
        buffer.put([held(name)])
        await turn()
    assert not gathering.done()
    assert not any(task.done() for task in idle)
    buffer.put([held("d"), held("e")])
    await gathering
    assert names(batch) == ["a", "b", "c", "d"]
    assert (await idle[0]).event_id == "e"
    buffer.put([held("f")])
    assert (await idle[1]).event_id == "f"


async def test_a_batch_that_is_open_leaves_failures_to_the_others() -> None:
    """What failed or crashed before is handled meanwhile, alone; what waits behind it comes into the batch."""
    buffer = Buffer()
    batch = [held("a")]
    buffer.put([held("bad", attempts="1"), held("b"), held("worse", attempts="2")])
    gathering = asyncio.create_task(buffer.gather(batch, 4, 60))
    await turn()
    buffer.put([held("suspect", crashes="1"), held("c"), held("d")])
    await gathering
    assert names(batch) == ["a", "b", "c", "d"]
    assert names([await buffer.get() for _ in range(2)]) == ["bad", "worse"]
    assert (await buffer.get(suspects=True)).event_id == "suspect"


async def test_a_batch_waits_no_longer_than_it_may() -> None:
    """It ends with its time, when the buffer is cleared, and with its taker; what comes then goes to the others."""
    buffer = Buffer()
    await buffer.gather(short := [held("a")], 9, 0.001)
    gathering = asyncio.create_task(buffer.gather(cleared := [held("b")], 9, 60))
    await turn()
    assert buffer.clear() == []
    await gathering
    gathering = asyncio.create_task(buffer.gather(left := [held("c")], 9, 60))
    await turn()
    gathering.cancel()
    await asyncio.wait([gathering])
    buffer.put([held("d")])
    assert (await buffer.get()).event_id == "d"
    assert [names(batch) for batch in (short, cleared, left)] == [["a"], ["b"], ["c"]]


async def test_suspects_go_to_the_one_taker_that_asks_for_them() -> None:
    """Deliveries whose worker died wait apart: one taker gets them, and gets them first; the others get the rest."""
    buffer = Buffer()
    buffer.put([held("a"), held("s1", crashes="1"), held("b"), held("s2", crashes="2")])
    assert len(buffer) == 4
    assert (await buffer.get()).event_id == "a"
    assert (await buffer.get(suspects=True)).event_id == "s1"
    assert names(buffer.clear()) == ["s2", "b"]
    assert len(buffer) == 0


async def test_a_suspect_wakes_only_who_asks_for_it() -> None:
    """A waiting taker that does not want suspects sleeps on, and the one that does wakes."""
    buffer = Buffer()
    [other] = await taking(buffer, 1)
    suspects = asyncio.create_task(buffer.get(suspects=True))
    await turn()
    buffer.put([held("s", crashes="1")])
    assert (await suspects).event_id == "s"
    assert not other.done()
    buffer.put([held("t", crashes="1")])
    await turn()
    assert not other.done()
    buffer.put([held("a")])
    assert (await other).event_id == "a"


async def test_the_taker_of_suspects_takes_others_too() -> None:
    """With no suspects about it is a taker like the rest."""
    buffer = Buffer()
    suspects = asyncio.create_task(buffer.get(suspects=True))
    await turn()
    buffer.put([held("a")])
    assert (await suspects).event_id == "a"


async def test_a_suspect_that_comes_in_between_leaves_nothing_lying() -> None:
    """A taker woken for one delivery that takes a suspect instead passes its turn on to another that waits."""
    buffer = Buffer()
    suspects = asyncio.create_task(buffer.get(suspects=True))
    await turn()
    [other] = await taking(buffer, 1)
    buffer.put([held("a")])
    buffer.put([held("s", crashes="1")])  # as the readers of a Cluster may, in one turn of the loop
    assert (await suspects).event_id == "s"
    await turn()
    try:
        assert other.done()
    finally:
        other.cancel()
