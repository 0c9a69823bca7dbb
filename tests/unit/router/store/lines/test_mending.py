"""Lines that lack a part: each key that has events gets back to where it is claimed."""

from support.lines.place import MakeLines, item


async def test_keys_behind_an_empty_one_are_mended(lines: MakeLines) -> None:
    """A key function may return an empty text: it is a key as all others."""
    place = await lines()
    items = [item(b"", place.now), item(b"a", place.now + 1), item(b"", place.now + 2), item(b"b", place.now + 3)]
    await place.add(*items)
    await place.store.command("DEL", place.keys["ready"])
    assert await place.mend("leader") == (b"", 3)
    assert {one.ref for one in (await place.claim("w:1")).claimed} == {items[0].ref, items[1].ref, items[3].ref}
