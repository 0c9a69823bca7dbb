"""How events are brought into the lines: by one worker, and each once."""

from support.lines.place import MakeLines, item


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
