"""Many streams as one."""

import pytest

from router import merging
from router.merging import oldest_first
from router.pages import Span
from router.store import Store


def keys_of(store: Store) -> list[str]:
    """Return the keys of three streams."""
    return [store.keys.events(f"p/{name}") for name in "abc"]


async def _ids(store: Store, spans: dict[str, Span]) -> list[tuple[str, str]]:
    return [(key[-9], entry_id.decode()) async for key, (entry_id, _) in oldest_first(store, spans)]


@pytest.mark.parametrize("page", [2, 500])
async def test_oldest_first(store: Store, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    """The entries of all streams come in the order of their ids, however many pages that takes."""
    monkeypatch.setattr(merging, "PAGE", page)
    monkeypatch.setattr(merging, "_LEAST", 2)
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
