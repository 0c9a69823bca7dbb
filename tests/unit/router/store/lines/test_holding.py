"""Keys that wait for an operator after a dead letter."""

from support.lines.place import MakeLines, body_of, item


async def test_a_key_that_is_held_waits_and_others_go_on(lines: MakeLines) -> None:
    """After its dead letter a held key hands nothing out, also of what comes later; other keys are not concerned."""
    place = await lines()
    second, other = item(b"k", place.now, number=1), item(b"other", place.now, number=2)
    await place.add(item(b"k", place.now), second)
    await place.settle((await place.claim("w:1")).one, hold=True)
    await place.add(other, item(b"k", place.now, number=3))
    assert (await place.claim("w:2")).one.ref == other.ref
    kept = await place.kept()
    assert kept.held == [b"k"]
    assert kept.lines[b"k"][0] == second.ref


async def test_a_key_without_events_is_held_too(lines: MakeLines) -> None:
    """The dead letter may have been the only event: what comes next waits."""
    place = await lines()
    await place.add(item(b"k", place.now))
    await place.settle((await place.claim("w:1")).one, hold=True)
    await place.add(item(b"k", place.now, number=1))
    reply = await place.claim("w:2")
    assert (reply.claimed, reply.wait) == ([], -1)


async def test_a_doomed_event_stays_so(lines: MakeLines) -> None:
    """Who gets an event whose worker died while it wrote the dead letter sees that it was to be one."""
    place = await lines()
    await place.add(item(b"k", place.now))
    doomed = (await place.claim("w1:1")).one
    body = body_of(b"c", doomed.ref, doomed=True)
    assert await place.doom(doomed, body)
    assert await place.abandon("w1:") == 1
    assert (await place.claim("w2:1")).one.body == body
