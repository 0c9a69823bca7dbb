"""Events that get other keys than those that their lines were filled by."""

from support.lines.place import MakeLines, Place, item

from router.store.lines import Claim, Item


async def rekey(place: Place, to: bytes, *items: Item) -> int:
    """Move events into the line of one key."""
    return int(await place.call(place.lines.rekey("leader", [(one.key, one.ref, to) for one in items])))


async def test_events_stand_in_their_order_under_another_key(lines: MakeLines) -> None:
    """What comes together from several lines is claimed one after the other, as it was accepted."""
    place = await lines()
    items = [item(b"b", place.now), item(b"a", place.now + 1), item(b"b", place.now + 2), item(b"a", place.now + 3)]
    await place.add(*items)
    assert await rekey(place, b"c", items[1], items[3], items[0], items[2]) == 4
    seen = []
    while claimed := (await place.claim(f"w:{len(seen)}")).claimed:
        seen += [one.ref for one in claimed]
        assert len(claimed) == 1
        await place.settle(*claimed)
    assert seen == [one.ref for one in items]
    assert (await place.kept()).length == {}


async def test_what_a_worker_has_is_not_moved(lines: MakeLines) -> None:
    """The events of a key that runs stay, and so do those that would join one that runs."""
    place = await lines()
    items = [item(b"a", place.now), item(b"a", place.now + 1), item(b"b", place.now + 2)]
    await place.add(*items)
    one = (await place.claim("w:1", room=1)).one
    assert one.ref == items[0].ref
    assert await rekey(place, b"c", items[0], items[1]) == 0
    assert await rekey(place, b"a", items[2]) == 0


async def test_a_retry_stays_due_when_it_was(lines: MakeLines) -> None:
    """A first event that is tried again later does not run earlier under its new key."""
    place = await lines()
    first, second = item(b"a", place.now), item(b"b", place.now + 1)
    await place.add(first)
    await place.retry((await place.claim("w:1")).one, 5000)
    await place.add(second)
    assert await rekey(place, b"c", first, second) == 2
    assert (await place.claim("w:2")).claimed == []
    await place.passes(5000)
    assert (await place.claim("w:3")).one.ref == first.ref


async def test_what_is_held_stays_held(lines: MakeLines) -> None:
    """An operator releases what gets an event of a held key, too."""
    place = await lines()
    dead, waiting = item(b"a", place.now), item(b"a", place.now + 1)
    await place.add(dead, waiting)
    await place.settle((await place.claim("w:1")).one, hold=True)
    assert await rekey(place, b"c", waiting) == 1
    assert (await place.claim("w:2")).claimed == []
    assert await place.release(b"a") == 0  # it has nothing any more, and is no key of the new rule
    assert await place.release(b"c") == 1
    assert (await place.claim("w:3")).one.ref == waiting.ref


async def test_no_key_is_claimed_while_keys_are_made_again(lines: MakeLines) -> None:
    """Between the two calls of who makes them again, nothing begins; and empty lines need none of it."""
    place = await lines()
    assert await place.call(place.lines.keyed_by("leader", "one")) == [0, 0]
    await place.add(item(b"a", place.now), item(b"b", place.now + 1))
    assert await place.call(place.lines.keyed_by("leader", "one")) == [0, 0]
    one = (await place.claim("w:1", room=1)).one
    assert await place.call(place.lines.keyed_by("leader", "other")) == [2, 1]
    await place.settle(one)
    assert await place.call(place.lines.keyed_by("leader", "other")) == [1, 0]
    claim = place.lines.claim("w:2", 1, 1000, keying="other")
    assert (await place.call(claim))[0::4] == [[], 2]
    assert await place.call(place.lines.keyed_by("stale", "other", done=True)) is None
    before = (await place.kept()).woken
    assert await place.call(place.lines.keyed_by("leader", "other", done=True)) == [0, 0]
    assert (await place.kept()).woken != before
    assert (await place.call(place.lines.claim("w:3", 1, 1000, keying="one")))[0::4] == [[], 2]
    assert len((await place.call(claim))[0]) == 1


async def test_only_the_leader_moves_events(lines: MakeLines) -> None:
    """A worker that has lost its lease changes no keys."""
    place = await lines()
    waiting = item(b"a", place.now)
    await place.add(waiting)
    for call in (
        place.lines.rekey("stale", [(b"a", waiting.ref, b"b")]),
        place.lines.restore("stale", [(b"b", waiting.ref)]),
        place.lines.mend("stale", 1000, b"", 10),
    ):
        assert await place.call(call) is None
    assert (await place.kept()).lines == {b"a": [waiting.ref]}


async def test_no_key_is_seized_while_keys_are_made_again(lines: MakeLines) -> None:
    """An operator cannot have a key of which the events are about to get others: they would stay behind under it."""
    place = await lines()
    first, second = item(b"a", place.now), item(b"a", place.now + 1)
    await place.add(first, second)
    assert await place.call(place.lines.keyed_by("leader", "other")) == [2, 0]
    seize = place.lines.seize(Claim(b"a", "operator"), first.ref, 1000)
    assert await place.call(seize) == -2
    assert await rekey(place, b"b", first, second) == 2
