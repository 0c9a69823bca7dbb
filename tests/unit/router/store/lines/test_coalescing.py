"""Events of a key that are merged into one delivery."""

import pytest
from support.lines.place import MakeLines, item

from router.store.lines import Merging

MERGING = Merging(quiet=5000, within=12_000, most=100)


async def test_a_burst_is_one_delivery_and_ends_in_one_step(lines: MakeLines) -> None:
    """The newest event stands for the others, oldest first; they end with it."""
    place = await lines(MERGING)
    burst = [item(b"k", place.now, number=number) for number in range(4)]
    await place.add(*burst)
    assert (await place.claim("w:1")).wait == 5000
    await place.passes(5000)
    claimed = (await place.claim("w:2")).one
    assert claimed.refs == [one.ref for one in burst]
    assert claimed.body == burst[-1].body
    await place.settle(claimed)
    assert (await place.kept()).lines == {}


async def test_a_key_waits_no_longer_than_within(lines: MakeLines) -> None:
    """Events that come on and on put the delivery off to `within` after the first, and no further."""
    place = await lines(MERGING)
    begin = place.now
    while (reply := await place.claim(f"w:{place.now}")).claimed == []:
        await place.add(item(b"k", place.now))
        await place.passes(4000)
    assert place.now - begin == 12_000
    assert len(reply.one.refs) == 3


async def test_an_event_that_stands_alone_parts_what_is_merged(lines: MakeLines) -> None:
    """A deletion is neither merged away nor passed by: before it one delivery, then itself, then another."""
    place = await lines(Merging(most=100))
    row = [item(b"k", place.now, number=number, merge=number != 2) for number in range(5)]
    await place.add(*row)
    deliveries = []
    for number in range(3):
        claimed = (await place.claim(f"w:{number}")).one
        deliveries.append(claimed.refs)
        await place.settle(claimed)
    refs = [one.ref for one in row]
    assert deliveries == [refs[:2], refs[2:3], refs[3:]]


async def test_an_event_that_arrives_during_a_run_causes_another(lines: MakeLines) -> None:
    """What a run may not have seen is not ended with it."""
    place = await lines(Merging(most=100))
    await place.add(item(b"k", place.now))
    claimed = (await place.claim("w:1")).one
    later = item(b"k", place.now, number=1)
    await place.add(later)
    await place.settle(claimed)
    assert (await place.claim("w:2")).one.refs == [later.ref]


async def test_one_that_may_be_merged_waits_also_where_it_comes_late(lines: MakeLines) -> None:
    """An event that was accepted before one that stands alone, and is brought after it, waits for more to merge."""
    place = await lines(MERGING)
    await place.add(item(b"k", place.now, merge=False))
    await place.add(item(b"k", place.now - 1, stream="p/other"))
    reply = await place.claim("w:1")
    assert (reply.claimed, reply.wait) == ([], 5000)


@pytest.mark.parametrize("by", [3_600_000, 20_000])
async def test_a_clock_set_back_makes_nothing_wait_longer(lines: MakeLines, by: int) -> None:
    """Events that a clock has dated ahead wait as long as others, whoever has asked before, and if more come."""
    place = await lines(MERGING)
    await place.add(item(b"k", place.now))
    ahead = place.now
    await place.set_clock(place.now - by)
    begin = place.now
    for number in range(1, 20):
        await place.add(item(b"k", ahead, number=number))
        if (await place.claim(f"w:{number}")).claimed:
            break
        await place.passes(1000)
    assert place.now - begin <= 12_000


async def test_a_key_that_begins_to_wait_wakes_workers_up(lines: MakeLines) -> None:
    """A worker that sleeps until somebody wakes it up learns when the wait of a new key is over."""
    place = await lines(MERGING)
    asleep = await place.claim("w:1")
    assert asleep.wait == -1
    await place.add(item(b"k", place.now))
    assert (await place.kept()).woken != asleep.last
    assert (await place.claim("w:2")).wait == 5000
