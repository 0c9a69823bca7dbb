"""Going through many things in batches, at a rate."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from router.tasks.pacing import Pacer, batches


async def _numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


async def test_batches() -> None:
    """A batch ends when it is full, or when what is in it is as much as may be sent at once."""
    assert [len(batch) async for batch in batches(_numbers(250), most=100)] == [100, 100, 50]
    large = batches(_numbers(5), most=100, size_of=lambda _: 3 * 1024 * 1024)
    assert [len(batch) async for batch in large] == [2, 2, 1]
    assert [batch async for batch in batches(_numbers(0), most=100)] == []


async def test_a_rate_makes_batches_small() -> None:
    """What keeps to a rate goes on ten times a second."""
    assert [len(batch) async for batch in batches(_numbers(40), 200.0, most=100)] == [20, 20]


async def test_it_waits_no_longer_once_it_is_stopped() -> None:
    """A batch that waits for its turn comes at once when `stop` is set; whoever set it looks at that."""
    stop = asyncio.Event()
    found = batches(_numbers(2), 0.001, stop, most=100)
    await anext(found)
    stop.set()
    async with asyncio.timeout(5):
        assert await anext(found) == [1]


async def test_a_rate_is_kept_over_long_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes, as many go as the rate says: what each sleep is too long is made up for."""
    now = [1000.0]

    async def wait(seconds: float, _stop: asyncio.Event) -> bool:
        now[0] += seconds + 0.001
        return False

    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now[0], raising=False)
    monkeypatch.setattr("router.tasks.pacing.set_within", wait)
    pacer = Pacer(5000.0)
    for _ in range(10_000):
        await pacer.take(100)
        now[0] += 0.0001
    assert now[0] - 1000.0 == pytest.approx(1_000_000 / 5000, rel=0.001)
