"""Streams from which entries were removed in the middle: what is known of groups stays right."""

from typing import Any

import pytest

from router.store import scripts
from router.store.client import Store

pytestmark = pytest.mark.real


@pytest.fixture
async def key(real_store: Store) -> str:
    """Return the key of a stream with seven entries, of which a group has read the first."""
    key = real_store.keys.events("p/t")
    ids = [await real_store.client.xadd(key, {"a": number}, id=f"{number}-0") for number in range(1, 8)]
    await real_store.client.xgroup_create(key, "g", "0")
    assert await real_store.call(scripts.advance(key, "g", ids[0], 1)) == 1
    return key


async def _group(store: Store, key: str) -> dict[str, Any]:
    (group,) = await store.client.xinfo_groups(key)
    return dict(group)


async def test_a_group_that_is_moved_past_removed_entries(real_store: Store, key: str) -> None:
    """How many it has read is not known while it is behind them, and is right again once it has come to the end."""
    await real_store.call(scripts.erase(key, ["4-0", "5-0", "6-0"]))
    await real_store.call(scripts.advance(key, "g", "3-0", 2))
    assert (await _group(real_store, key))["lag"] is None
    await real_store.call(scripts.advance(key, "g", "7-0", 1))
    assert (await _group(real_store, key))["lag"] == 0
    await real_store.client.xadd(key, {"a": 8}, id="8-0")
    assert (await _group(real_store, key))["lag"] == 1


async def test_what_is_erased_is_in_nobody_s_hands(real_store: Store, key: str) -> None:
    """Every group is done with it, so that no consumer can move it anywhere."""
    client = real_store.client
    await client.xgroup_create(key, "h", "0")
    for group in ("g", "h"):
        await client.xreadgroup(group, "c", {key: ">"}, count=3)
    assert await real_store.call(scripts.erase(key, ["2-0", "9-0"])) == 1
    for group, left in (("g", 2), ("h", 2)):
        assert (await client.xpending(key, group))["pending"] == left
    moved = scripts.move(key, real_store.keys.dead("p/t", "g"), "g", "c", "2-0", ["id", "x"], inbox=False)
    assert await real_store.call(moved) == b""


async def test_a_copy_takes_the_place_of_its_stream(real_store: Store, key: str) -> None:
    """It has the same entries, groups, consumers and deliveries in hand, with their counts."""
    client, copied = real_store.client, real_store.keys.copied(key)
    await client.xreadgroup("g", "c", {key: ">"}, count=3)
    await client.xclaim(key, "g", "d", 0, ["3-0"], retrycount=2, justid=True)
    await real_store.call(scripts.erase(key, ["2-0", "6-0"]))
    before = [await client.xrange(key), await client.xpending_range(key, "g", "-", "+", 10)]
    assert await real_store.call(scripts.copy(key, copied, 3)) == [3, 6]
    assert await real_store.call(scripts.copy(key, copied, 100)) == [2, 4]
    await client.xadd(key, {"a": 8}, id="8-0")
    await client.xdel(key, "1-0")
    assert await real_store.call(scripts.swap(key, copied, 5, 100)) == 1
    entries, pending = before
    assert await client.xrange(key) == [*entries[1:], (b"8-0", {b"a": b"8"})]
    after = await client.xpending_range(key, "g", "-", "+", 10)
    names = ("message_id", "consumer", "times_delivered")
    assert [[row[name] for name in names] for row in after] == [[row[name] for name in names] for row in pending]
    group = await _group(real_store, key)
    assert (group["lag"], group["last-delivered-id"], group["consumers"]) == (None, b"4-0", 2)
    assert (await client.xinfo_stream(key))["last-generated-id"] == b"8-0"
    assert await client.exists(copied) == 0


async def test_an_entry_of_a_copy_has_other_fields(real_store: Store, key: str) -> None:
    """It gets them behind all that come before, whatever became of the copy; and not where it has changed since."""
    copied, was = real_store.keys.copied(key), (b"a", b"5")
    assert await real_store.call(scripts.copy(key, copied, 3, "5-0", was, b"a", b"x")) == [3, 6]
    await real_store.client.delete(copied)  # by another process that writes it again
    assert await real_store.call(scripts.copy(key, copied, 3, "5-0", was, b"a", b"x")) == [3, 6]
    assert await real_store.call(scripts.copy(key, copied, 3, "5-0", was, b"a", b"x")) == [1, 2]
    copy = await real_store.client.xrange(copied)
    assert [entry_id for entry_id, _ in copy] == [b"1-0", b"2-0", b"3-0", b"4-0", b"5-0"]
    assert copy[-1][1] == {b"a": b"x"}
    assert await real_store.call(scripts.copy(key, copied, 3, "5-0", was, b"a", b"x")) == [-1, 0]
    assert await real_store.call(scripts.copy(key, copied, 3, "6-0", was, b"a", b"x")) == [-1, 0]
    assert await real_store.call(scripts.copy(key, copied, 3, "6-5", was, b"a", b"x")) == [1, 2]


async def test_an_entry_is_replaced_while_it_is_there(real_store: Store, key: str) -> None:
    """Once it is gone nothing comes in its place; and what comes has a marker, by which it is there once."""
    marker = f"{key}:marker"
    assert await real_store.call(scripts.replace(key, "2-0", marker, 60_000, ["b", "1"])) == 1
    assert await real_store.call(scripts.replace(key, "2-0", f"{key}:other", 60_000, ["b", "2"])) == 0
    assert await real_store.call(scripts.replace(key, "3-0", marker, 60_000, ["b", "3"])) == 1
    entries = await real_store.client.xrange(key)
    assert [fields.get(b"a", fields.get(b"b")) for _, fields in entries] == [b"1", b"4", b"5", b"6", b"7", b"1"]
    assert await real_store.client.get(marker) == entries[-1][0]


async def test_a_copy_of_what_changes_too_fast_takes_no_place(real_store: Store, key: str) -> None:
    """Nothing is done where entries are missing in it, too many were removed, or too much is in hand."""
    client, copied = real_store.client, real_store.keys.copied(key)
    assert await real_store.call(scripts.copy(key, copied, 100)) == [7, 14]
    for number in range(8, 120):
        await client.xadd(key, {"a": number}, id=f"{number}-0")
    assert await real_store.call(scripts.swap(key, copied, 5, 100)) == 0
    await real_store.call(scripts.copy(key, copied, 100))
    await real_store.call(scripts.copy(key, copied, 100))
    await client.xdel(key, "110-0")
    assert await real_store.call(scripts.swap(key, copied, 1, 100)) == -1
    await client.xreadgroup("g", "c", {key: ">"}, count=3)
    assert await real_store.call(scripts.swap(key, copied, 5, 2)) == -2
    assert await client.xlen(key) == 118
    assert await real_store.call(scripts.swap(key, copied, 5, 3)) == 1
    assert await client.xlen(key) == 118
