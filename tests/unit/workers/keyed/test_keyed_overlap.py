"""Two handlers of one key never run at once, though one runs on when its attempt has ended."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from support.keyed_bench import STREAM, Bench
from support.waiting import eventually

from workers import Event, Retry, Subscription
from workers.keyed.consumer import KeyedConsumer

QUICK = Retry(max_attempts=5, first_delay=0.01, max_delay=0.01)


class Plain:
    """A plain function that runs on until its gate opens, where an event is of customer `a`."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.running = 0
        self.most = 0
        self.seen: list[str] = []

    def handle(self, event: Event) -> None:
        """Handle an event."""
        self.seen.append(event.id)
        if event.id.startswith("a"):
            self.running += 1
            self.most = max(self.most, self.running)
            self.gate.wait(60)
            self.running -= 1


@pytest.fixture
def plain() -> Iterator[Plain]:
    """Yield a function, and end it at the end."""
    function = Plain()
    yield function
    function.gate.set()


async def _running(bench: Bench, subscription: Subscription) -> int:
    return len((await bench.lines(subscription)).get("running", ()))


async def test_a_plain_function_over_its_time_keeps_its_key(bench: Bench, plain: Plain) -> None:
    """The next attempt of a key waits until the thread of the one before has ended; other keys go on meanwhile."""
    subscription = Subscription("sub", events=[STREAM], key="resource", concurrency=1, timeout=0.2, retry=QUICK)
    subscription.handler(plain.handle)
    await bench.publish("a1@a")
    consumer = await bench.start(subscription)
    await eventually(lambda: plain.running)
    await eventually(lambda: not consumer._executor.running)
    await bench.publish("b1@b")
    await eventually(lambda: "b1" in plain.seen)
    await consumer._settler.drain()
    await eventually(lambda: not consumer._executor.running)
    assert plain.seen == ["a1", "b1"]
    assert b"/1/customer/a" in b" ".join((await bench.lines(subscription))["running"])
    plain.gate.set()
    await eventually(lambda: plain.seen == ["a1", "b1", "a1"])
    assert plain.most == 1
    await bench.emptied(subscription)


async def test_a_function_that_never_ends_keeps_its_key_for_a_bounded_time(
    bench: Bench, plain: Plain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key does not wait for ever: its event is tried again after some time-outs, and dead in the end."""
    monkeypatch.setattr("workers.consuming.lingering._LEAST", 0.1)
    monkeypatch.setattr("workers.consuming.lingering._TIMES", 1)
    retry = Retry(max_attempts=2, first_delay=0.01, max_delay=0.01)
    subscription = Subscription("sub", events=[STREAM], key="resource", timeout=0.1, retry=retry)
    subscription.handler(plain.handle)
    await bench.publish("a1@a")
    await bench.start(subscription)
    await eventually(lambda: bench.count(subscription, "dead") == 1)
    assert plain.seen == ["a1", "a1"]


@pytest.mark.parametrize("allowed", [None, 0.1])
async def test_a_thread_that_runs_on_at_the_stop_keeps_its_key(
    bench: Bench, plain: Plain, monkeypatch: pytest.MonkeyPatch, allowed: float | None
) -> None:
    """A worker that stops leaves the key of a thread that still runs to the lease: no other has it at once."""
    monkeypatch.setattr("workers.consuming.executor._LAST_WORDS", 0.1)
    subscription = Subscription("sub", events=[STREAM], key="resource", timeout=allowed, retry=QUICK)
    subscription.handler(plain.handle)
    await bench.publish("a1@a")
    consumer = await bench.start(subscription, shutdown_timeout=0.3)
    await eventually(lambda: plain.running)
    await eventually(lambda: allowed is None or not consumer._executor.running)
    await bench.stop(consumer)
    assert plain.running == 1
    assert await _running(bench, subscription) == 1


async def test_a_handler_that_swallows_its_cancellation_keeps_its_key(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that stops leaves the key of a handler that does not end to the lease."""
    monkeypatch.setattr("workers.consuming.executor._LAST_WORDS", 0.1)
    subscription = Subscription("sub", events=[STREAM], key="resource", timeout=None)
    gate, ended = asyncio.Event(), asyncio.Event()

    @subscription.handler
    async def sync(event: Event) -> None:
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue
        ended.set()

    await bench.publish("a1@a")
    consumer = await bench.start(subscription, shutdown_timeout=0.1)
    assert isinstance(consumer, KeyedConsumer)
    await eventually(lambda: consumer._executor.running)
    await bench.stop(consumer)
    assert consumer.stuck
    assert await _running(bench, subscription) == 1
    gate.set()
    await asyncio.wait_for(ended.wait(), 30)
    await eventually(lambda: not consumer.stuck)
