"""Events of a key that are merged into one delivery."""

import pytest
from support.lines.place import MakeLines, body_of, item

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


async def test_a_delivery_knows_the_attempts_of_what_it_stands_for(lines: MakeLines) -> None:
    """Of the most tried event the body comes along, so that a newer one does not begin anew; of others the head."""
    place = await lines(Merging(most=100))
    bodies, heads = [], []
    for number in range(4):
        one = item(b"k", place.now, number=number)
        await place.add(one)
        claimed = (await place.claim(f"w:{number}")).one
        assert [said for _, said in claimed.merged] == [*heads[:-1], *bodies[-1:]]
        assert await place.retry(claimed, 0, body_of(b"c", one.ref, b"failed", tried=number + 1))
        bodies.append((await place.kept()).bodies[one.ref])
        heads.append(b"\0".join((b"c", one.ref, b"at")))


async def test_a_delivery_has_what_a_replay_has_stood_for(lines: MakeLines) -> None:
    """Its body comes along, which names those; they count towards how many a delivery may stand for."""
    place = await lines(Merging(most=4))
    row = [item(b"k", place.now, number=number) for number in range(3)]
    first = row[0]._replace(body=body_of(b"c", row[0].ref, b"names", before=2))
    await place.add(first, *row[1:])
    claimed = (await place.claim("w:1")).one
    assert claimed.merged == ((first.ref, first.body),)
    await place.settle(claimed)
    assert (await place.claim("w:2")).one.refs == [row[2].ref]


async def test_what_has_stood_for_as_many_as_may_be_is_delivered_alone(lines: MakeLines) -> None:
    """A replay that names more than one delivery may stand for holds nothing up."""
    place = await lines(Merging(most=2))
    row = [item(b"k", place.now, number=number) for number in range(2)]
    await place.add(row[0]._replace(body=body_of(b"c", row[0].ref, before=5)), row[1])
    claimed = (await place.claim("w:1")).one
    assert claimed.refs == [row[0].ref]
    await place.settle(claimed)
    assert (await place.claim("w:2")).one.refs == [row[1].ref]
