"""What signals do to a change under way: `router/process/signals.py`."""

import asyncio
import signal

import pytest

from router.process.signals import cancelling


async def test_a_signal_ends_a_change_that_loses_cancellations() -> None:
    """One signal is enough, though the work that runs at that moment swallows what it cancels."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def change() -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            with cancelling(task):
                begun.set()
                for _ in range(3):
                    try:
                        await asyncio.sleep(30)
                    except asyncio.CancelledError:
                        continue
                await asyncio.sleep(30)
        finally:
            ended.set()

    task = asyncio.create_task(change())
    await begun.wait()
    signal.raise_signal(signal.SIGHUP)
    async with asyncio.timeout(20):
        await asyncio.wait([task])
    assert ended.is_set()
    assert task.cancelled()


async def test_what_comes_after_a_change_is_not_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that comes within the block cancels nothing behind it, and its handlers are gone."""
    monkeypatch.setattr("router.process.signals.AGAIN", 0)
    before = signal.getsignal(signal.SIGHUP)

    async def change() -> str:
        task = asyncio.current_task()
        assert task is not None
        try:
            with cancelling(task):
                signal.raise_signal(signal.SIGHUP)
                await asyncio.sleep(30)
        except asyncio.CancelledError:
            for _ in range(10):  # each is long enough for the next cancellation
                await asyncio.sleep(0)
            return "went on"
        return "was not cancelled"

    assert await change() == "went on"
    assert signal.getsignal(signal.SIGHUP) is before
