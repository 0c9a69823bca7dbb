"""Companies take turns, and have a limit."""

import pytest
from support.lines.place import MakeLines, item

from router.store.lines import Merging


async def test_companies_take_turns(lines: MakeLines) -> None:
    """One event of a small company waits for one turn of each other, not for their backlogs."""
    place = await lines()
    await place.add(*(item(b"a%d" % number, place.now, company=b"big", number=number) for number in range(50)))
    await place.claim("w:1", 5)
    await place.add(item(b"b", place.now, company=b"small", number=99))
    assert [one.body.split(b"\0")[0] for one in (await place.claim("w:2", 2)).claimed] == [b"big", b"small"]


async def test_a_company_that_comes_back_does_not_push_in(lines: MakeLines) -> None:
    """A company that has always one event, and never two, has no more turns than one with a backlog."""
    place = await lines()
    await place.add(*(item(b"a%d" % number, place.now, company=b"big", number=number) for number in range(5)))
    turns = []
    for number in range(10, 18):
        await place.add(item(b"b", place.now, company=b"small", number=number))
        claimed = (await place.claim(f"w:{number}", 1)).one
        turns.append(claimed.body.split(b"\0")[0])
        await place.settle(claimed)
    assert turns == [b"big", b"small"] * 4


async def test_a_company_runs_no_more_than_it_may(lines: MakeLines) -> None:
    """Over all workers so many keys of a company are handled at once; the next begins when one has ended."""
    place = await lines(per_company=2)
    await place.add(*(item(b"a%d" % number, place.now, number=number) for number in range(5)))
    first = (await place.claim("w1:1")).claimed
    asleep = await place.claim("w2:1")
    assert (len(first), len(asleep.claimed)) == (2, 0)
    await place.settle(first[0])
    assert (await place.kept()).woken != asleep.last
    assert len((await place.claim("w2:2")).claimed) == 1


async def test_a_stopped_company_waits_until_then(lines: MakeLines) -> None:
    """A company that is paused has no turns; a worker knows for how long, and others go on."""
    place = await lines()
    await place.stop(b"c", 700)
    await place.add(item(b"a", place.now), item(b"b", place.now, company=b"other", number=1))
    claimed = await place.claim("w:1")
    assert (claimed.one.claim.key, claimed.wait) == (b"b", 700)
    await place.passes(700)
    assert (await place.claim("w:2")).one.claim.key == b"a"


@pytest.mark.parametrize("most", [0, 100])
async def test_keys_that_fail_again_and_again_let_newer_ones_of_their_company_go_first(
    lines: MakeLines, most: int
) -> None:
    """A key that is tried again comes behind all that were ready before, also where it stands for older events."""
    place = await lines(Merging(most=most))
    failing = [b"p%d" % number for number in range(3)]
    await place.add(*(item(key, place.now, number=number) for number, key in enumerate(failing)))
    await place.add(*(item(key, place.now, number=9 + number) for number, key in enumerate(failing)))
    for claimed in (await place.claim("w:0")).claimed:
        await place.retry(claimed, 100)
    await place.add(item(b"healthy", place.now, number=99))
    await place.passes(100)
    assert (await place.claim("w:1", 0)).claimed == []
    assert (await place.claim("w:2", 1)).one.claim.key == b"healthy"


async def test_a_key_that_fails_comes_behind_what_a_clock_has_dated_ahead(lines: MakeLines) -> None:
    """Also where the clock was set back: what was ready goes before the next attempt of what has failed."""
    place = await lines()
    ahead = place.now
    await place.add(item(b"fails", ahead))
    await place.set_clock(place.now - 60_000)
    await place.add(item(b"k", ahead, number=1))
    assert await place.retry((await place.claim("w:1", 1)).one, 100)
    await place.passes(100)
    await place.claim("w:2", 0)
    assert (await place.claim("w:3", 1)).one.claim.key == b"k"
    assert (await place.claim("w:4", 1)).one.claim.key == b"fails"
