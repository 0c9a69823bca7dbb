"""Many streams as one."""

import pytest

from router.store import merging
from router.store.client import Store
from router.store.merging import newest_first, oldest_first
from router.store.reading import Span, order_of


def keys_of(store: Store) -> list[str]:
    """Return the keys of three streams."""
    return [store.keys.events(f"p/{name}") for name in "abc"]


async def _fill(store: Store, key: str, *ids: str) -> None:
    pipeline = store.client.pipeline(transaction=False)
    for id_ in ids:
        pipeline.xadd(key, {"n": id_}, id=id_)
    await pipeline.execute()


async def _ids(store: Store, spans: dict[str, Span]) -> list[tuple[str, str]]:
    return [(key[-9], entry_id.decode()) async for key, (entry_id, _) in oldest_first(store, spans)]


@pytest.mark.parametrize("budget", [1, 2000, 1 << 20])
async def test_oldest_first(store: Store, monkeypatch: pytest.MonkeyPatch, budget: int) -> None:
    """The entries of all streams come in the order of their ids, however many pages that takes."""
    monkeypatch.setattr(merging, "BUDGET", budget)
    first, second, third = keys_of(store)
    for number in range(1, 10):
        key = first if number % 3 else second
        await store.client.xadd(key, {"a": "b"}, id=f"{number}-{number}")
    found = await _ids(store, dict.fromkeys((first, second, third), Span()))
    assert [entry_id for _, entry_id in found] == [f"{number}-{number}" for number in range(1, 10)]
    assert {key for key, _ in found} == {"a", "b"}


async def test_spans(store: Store) -> None:
    """Of each stream no more than its own span is read; both ends are included."""
    first, second, _ = keys_of(store)
    for number in range(1, 6):
        for key in (first, second):
            await store.client.xadd(key, {"a": "b"}, id=f"{number}-0")
    found = await _ids(store, {first: Span("2-0", "3-0"), second: Span("(4-0", "+")})
    assert found == [("a", "2-0"), ("a", "3-0"), ("b", "5-0")]


async def test_ids_that_are_the_same(store: Store) -> None:
    """Entries of one id in several streams all come."""
    for key in keys_of(store):
        await store.client.xadd(key, {"a": "b"}, id="7-7")
    found = await _ids(store, dict.fromkeys(keys_of(store), Span()))
    assert sorted(found) == [("a", "7-7"), ("b", "7-7"), ("c", "7-7")]


async def test_nothing(store: Store) -> None:
    """Without streams there is nothing."""
    assert await _ids(store, {}) == []


async def test_newest_first(store: Store) -> None:
    """Many streams are read as one, newest first, however unevenly they are filled."""
    key = store.keys.events
    await _fill(store, key("a"), *(f"{n}-0" for n in range(1, 2000, 3)))
    await _fill(store, key("b"), *(f"{n}-0" for n in range(1998, 2003)))
    keys = [key("a"), key("b"), key("none"), *(key(f"none{n}") for n in range(60))]
    found = [(key, order_of(entry_id)[0]) async for key, (entry_id, _) in newest_first(store, keys, Span())]
    times = [time for _, time in found]
    assert times == sorted(times, reverse=True)
    assert len(found) == len(range(1, 2000, 3)) + 5
    assert {key for key, _ in found[:3]} == {key("b")}
    within = [entry_id async for _, (entry_id, _) in newest_first(store, [key("a"), key("b")], Span("1996", "1999"))]
    assert within == [b"1999-0", b"1999-0", b"1998-0", b"1996-0"]


async def test_newest_first_of_nothing(store: Store) -> None:
    """No streams have no entries."""
    assert [entry async for entry in newest_first(store, [], Span())] == []
