"""How events are brought into the lines: by one worker, and each once."""

from support.lines.place import MakeLines, item

from router.store.keys import LINES


async def test_a_call_repeated_after_a_lost_reply_brings_nothing_twice(lines: MakeLines) -> None:
    """What was brought is known by its place in the stream, also when it has ended meanwhile."""
    place = await lines()
    items = [item(b"a", place.now), item(b"b", place.now, number=1)]
    assert await place.add(*items) == 2
    await place.settle(*(await place.claim("w:1")).claimed)
    assert await place.add(*items) == 0
    assert (await place.claim("w:2")).claimed == []


async def test_only_the_leader_brings_events(lines: MakeLines) -> None:
    """A worker whose lease went to another one brings nothing, and is answered so."""
    place = await lines()
    assert not await place.lead("other")
    assert await place.resign("leader")
    assert await place.lead("other")
    assert await place.add(item(b"a", place.now)) == -1
    assert (await place.kept()).lines == {}


async def test_nothing_is_left_of_what_has_ended(lines: MakeLines) -> None:
    """A key without events costs nothing: only how far each stream was read is kept."""
    place = await lines(per_company=1)
    await place.add(item(b"a", place.now), item(b"b", place.now, number=1))
    while claimed := (await place.claim(f"w:{place.now}")).claimed:
        await place.settle(*claimed)
        await place.passes(1)
    kept = await place.kept()
    assert (
        not kept.lines | kept.bodies | kept.due | kept.quiet | kept.running | kept.owners | kept.crashed | kept.length
    )
    assert kept.ready + kept.turns + kept.busy + kept.held == []


async def test_what_a_key_function_was_begun_for_is_known_until_it_is_added(lines: MakeLines) -> None:
    """A note counts the workers that began with just the same entries, and goes when these are added."""
    place, first = await lines(), item(b"a", 1)
    trial = (first.source, first.place, first.place)

    async def begin(token: str, *trials: tuple[str, str, str]) -> int:
        times: int = await place.call(place.lines.try_keys(token, trials))
        return times

    assert await begin("other", trial) == 0
    assert [await begin("leader", trial) for _ in range(3)] == [1, 1, 1]
    for times, token in enumerate(("second one", "third", "fourth"), 2):
        await place.store.client.delete(place.lines.keys[LINES.index("mover")])
        assert await place.lead(token)
        assert await begin(token, ("another", first.place, first.place), trial) == times
    assert await begin("fourth", (first.source, first.place, item(b"b", 2).place)) == 1
    assert await place.add(first, token="fourth") == 1
    assert [*await place.store.client.hgetall(place.lines.trials)] == [b"another"]
    assert await place.resign("fourth")
    assert not await place.store.client.exists(place.lines.trials)


async def test_nothing_is_brought_after_a_gap(lines: MakeLines) -> None:
    """Where a server that took over does not know what was brought before, nothing is added behind the gap."""
    place = await lines()
    first, lost, last = (item(b"a", place.now + number) for number in range(3))
    assert await place.add(first) == 1
    call = place.lines.add("leader", 10_000, [last], {last.source: lost.place})
    assert await place.call(call) == -2
    assert (await place.kept()).lines == {b"a": [first.ref]}
    assert await place.add(lost) == 1
    assert await place.call(call) == 1
