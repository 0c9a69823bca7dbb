"""Keys whose worker has died, or slept."""

from support.lines.place import LEASE, MakeLines, item

from router.store.lines import Merging


async def test_a_hold_is_doubted_before_it_is_taken_away(lines: MakeLines) -> None:
    """It takes two halves of a lease without a renewal, each of them seen to be over."""
    place = await lines()
    await place.add(item(b"k", place.now))
    await place.claim("w1:1")
    await place.passes(LEASE * 9)  # the store was away: nobody could have renewed anything
    reply = await place.claim("w2:1")
    assert (reply.claimed, reply.taken, reply.wait) == ([], 0, LEASE // 2)
    await place.passes(LEASE // 2)
    reply = await place.claim("w2:2")
    assert (reply.one.claim.key, reply.one.crashes, reply.taken) == (b"k", 1, 1)


async def test_a_worker_that_renews_in_doubt_keeps_its_key(lines: MakeLines) -> None:
    """A renewal ends the doubt: the next one begins anew."""
    place = await lines()
    await place.add(item(b"k", place.now))
    claimed = (await place.claim("w1:1")).one
    for number in range(5):
        await place.passes(LEASE // 2)
        assert (await place.claim(f"w2:{number}")).taken == 0
        assert await place.extend(claimed) == []


async def test_a_worker_that_wakes_up_is_fenced_off(lines: MakeLines) -> None:
    """Whatever it says of a key that another worker has got is refused, and changes nothing."""
    place = await lines()
    await place.add(item(b"k", place.now))
    frozen = (await place.claim("w1:1")).one
    await place.abandon("w1:")
    running = (await place.claim("w2:1")).one
    before = await place.kept()
    assert await place.settle(frozen) == [1]
    assert await place.settle(frozen, hold=True) == [1]
    assert await place.extend(frozen) == [1]
    assert not await place.retry(frozen, 0, b"c\0late")
    assert not await place.doom(frozen, b"c\0late")
    assert not await place.back(frozen)
    assert not await place.mark(frozen)
    assert await place.kept() == before
    assert await place.settle(running) == []


async def test_a_suspect_counts_only_if_it_was_started(lines: MakeLines) -> None:
    """Of what a worker held when it died each is suspected once; again only what ran when the next one died."""
    place = await lines()
    await place.add(item(b"a", place.now), item(b"b", place.now, number=1))
    await place.claim("w1:1")
    await place.abandon("w1:")
    first, _ = (await place.claim("w2:1")).claimed
    assert await place.mark(first)
    await place.abandon("w2:")
    assert [one.crashes for one in (await place.claim("w3:1")).claimed] == [2, 1]


async def test_newer_events_do_not_hide_what_workers_die_of(lines: MakeLines) -> None:
    """A delivery counts the crashes of all that it stands for, so that a key with ever new events ends dead as well."""
    place = await lines(Merging(most=100))
    for number in range(4):
        await place.add(item(b"k", place.now, number=number))
        claimed = (await place.claim(f"w:{number}")).one
        assert claimed.crashes == number
        assert await place.mark(claimed)
        await place.abandon("w:")


async def test_a_key_whose_owner_was_deleted_manually_goes_on(lines: MakeLines) -> None:
    """Nobody knows any more who has it: it is handed out again when the hold is over."""
    place = await lines()
    await place.add(item(b"k", place.now))
    await place.claim("w1:1")
    await place.store.command("DEL", place.keys["owners"])
    assert await place.abandon("w1:") == 0
    await place.passes(LEASE // 2)
    assert (await place.claim("w2:1")).one.claim.key == b"k"
    assert (await place.kept()).crashed == {}
