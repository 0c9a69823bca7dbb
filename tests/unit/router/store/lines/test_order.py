"""The order of the events of a key."""

from support.lines.place import MakeLines, item


async def test_a_key_is_handled_one_event_at_a_time_in_the_order_of_acceptance(lines: MakeLines) -> None:
    """The next event of a key is handed out when the one before has ended, and by no worker before."""
    place = await lines()
    first, second = item(b"k", place.now - 2), item(b"k", place.now - 1)
    await place.add(first, second)
    claimed = (await place.claim("w1:1")).one
    assert claimed.ref == first.ref
    assert (await place.claim("w2:1")).claimed == []
    assert await place.settle(claimed) == []
    assert (await place.claim("w2:2")).one.ref == second.ref


async def test_an_event_that_is_tried_again_is_not_overtaken(lines: MakeLines) -> None:
    """While the first event of a key waits for its next attempt, the others wait behind it; other keys go on."""
    place = await lines()
    first, second, other = item(b"k", place.now - 3), item(b"k", place.now - 2), item(b"other", place.now - 1)
    await place.add(first, second)
    assert await place.retry((await place.claim("w:1")).one, 5000)
    await place.add(other, item(b"k", place.now, number=1))
    assert (await place.claim("w:2")).one.ref == other.ref
    await place.passes(5000)
    assert (await place.claim("w:3")).one.ref == first.ref


async def test_a_retry_wakes_up_those_who_sleep_for_longer(lines: MakeLines) -> None:
    """A worker that ends after a retry leaves it to others, who sleep until they are woken up."""
    place = await lines()
    await place.add(item(b"k", place.now))
    claimed = (await place.claim("w1:1")).one
    asleep = await place.claim("w2:1")
    assert await place.retry(claimed, 1)
    assert (await place.kept()).woken != asleep.last
    assert (await place.claim("w2:2")).wait == 1


async def test_what_comes_late_goes_first(lines: MakeLines) -> None:
    """An event of another stream that was accepted earlier, and is brought later, goes before what waits."""
    place = await lines()
    late, early = item(b"k", place.now - 9, stream="p/other"), item(b"k", place.now)
    await place.add(early)
    await place.add(late)
    assert (await place.claim("w:1")).one.ref == late.ref


async def test_an_event_given_back_is_the_next_again(lines: MakeLines) -> None:
    """A worker that ends gives back what it has not handled; nothing counts as a crash."""
    place = await lines()
    first = item(b"k", place.now)
    await place.add(first, item(b"k", place.now, number=1))
    assert await place.back((await place.claim("w1:1")).one)
    again = (await place.claim("w2:1")).one
    assert (again.ref, again.crashes) == (first.ref, 0)


async def test_an_event_that_is_tried_again_at_once_lets_others_of_its_company_go_on(lines: MakeLines) -> None:
    """However often the oldest event of a company fails, the next key is handled as well."""
    place = await lines()
    await place.add(item(b"fails", place.now), item(b"k", place.now, number=1))
    assert await place.retry((await place.claim("w:1", 1)).one, 0)
    assert (await place.claim("w:2", 1)).one.claim.key == b"k"
    assert (await place.claim("w:3", 1)).one.claim.key == b"fails"
