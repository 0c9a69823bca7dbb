"""Reading a stream in pages."""

from datetime import UTC, datetime

import pytest

from router.store.client import Store
from router.store.errors import StoreUnavailable
from router.store.reading import Pager, Span, checked, forward, moment_of, order_of


async def _fill(store: Store, key: str, *ids: str) -> None:
    pipeline = store.client.pipeline(transaction=False)
    for id_ in ids:
        pipeline.xadd(key, {"n": id_}, id=id_)
    await pipeline.execute()


async def test_forward(store: Store) -> None:
    """Pages follow each other without a gap and without a repetition."""
    key = store.keys.events
    await _fill(store, key("k"), *(f"{n}-1" for n in range(1, 8)))
    for page in (1, 2, 3, 7, 8):
        ids = [entry_id async for entry_id, _ in forward(store, key("k"), Span(), page)]
        assert ids == [f"{n}-1".encode() for n in range(1, 8)]


async def test_forward_span(store: Store) -> None:
    """A span includes both of its ends; a stream that is not there is empty."""
    key = store.keys.events
    await _fill(store, key("k"), "1-0", "2-0", "2-9", "3-0")
    assert [entry_id async for entry_id, _ in forward(store, key("k"), Span("2", "2"))] == [b"2-0", b"2-9"]
    assert [entry async for entry in forward(store, key("none"), Span())] == []


@pytest.mark.parametrize(("entry_id", "order"), [(b"5-3", (5, 3)), ("5-3", (5, 3)), ("5", (5, 0))])
def test_order_of(entry_id: bytes | str, order: tuple[int, int]) -> None:
    """Entry ids sort as numbers, not as text."""
    assert order_of(entry_id) == order


def test_moment_of() -> None:
    """An id tells when its entry was written; one that somebody made up is cut to the last year there is."""
    assert moment_of("1500-7") == datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
    assert moment_of(b"18446744073709551615-0").year == 9999


def test_checked() -> None:
    """An error among the replies is an error of the store, said in one line."""
    assert checked([1, None]) == [1, None]
    with pytest.raises(StoreUnavailable, match="ValueError: no"):
        checked([1, ValueError("no")])


def test_pages_are_as_large_as_what_was_read_lets_them_be() -> None:
    """They begin with one entry, grow by steps, fit into their share, and shrink again to one for entries beyond it."""
    pager, small, large = (
        Pager(share=100_000, most=50),
        (b"1-0", {b"raw": b"x" * 100}),
        (b"1-0", {b"raw": b"x" * 60_000}),
    )
    counts = [pager.count]
    for entries in ([small], [small] * 4, [small] * 16, [], [large] * 50, [large], [small]):
        pager.took(entries)
        counts.append(pager.count)
    assert counts == [1, 4, 16, 50, 50, 1, 1, 4]
    pager.took([small] * 4, streams=200)
    assert pager.count == 1
