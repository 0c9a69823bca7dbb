"""Breakers as handlers use them: with workers over each kind of store, by themselves, and while the store is away."""

import asyncio
import time
from collections.abc import Callable
from contextlib import nullcontext
from random import Random
from typing import Any

import pytest
from support.keyed_bench import STREAM, Bench
from support.waiting import eventually

from config.errors import ConfigError
from router.store.client import Store
from router.store.errors import StoreUnavailable
from workers import Defer, Delivery, Event, Retry, RetryLater, Subscription
from workers.breakers import Breaker, Breakers, breaking
from workers.outcomes import BreakerOpen
from workers.testing import DeferFor, Done, RetryIn, run, sample_event


class Crm:
    """A target that can be down; notes when it was called while it was."""

    def __init__(self) -> None:
        self.down: type[BaseException] | None = None
        self.calls: list[float] = []

    async def call(self) -> None:
        """Answer, or fail."""
        await asyncio.sleep(0)
        if self.down is not None:
            self.calls.append(time.monotonic())
            raise self.down


def subscription(**options: Any) -> Subscription:
    """Return a subscription whose handler may fail once."""
    return Subscription("sub", events=[STREAM], **{"retry": Retry(max_attempts=6, first_delay=0.01), **options})


async def test_workers_leave_alone_what_is_down(bench: Bench) -> None:
    """Three workers call it once in each interval while it is down; all events wait, and are done when it is back.

    No attempt but those before it opened is used up, and `defer_max` ends nothing.
    """
    crm, breaker, interval = Crm(), Breaker("crm", failures=3, interval=0.3), 0.3
    sub, done = subscription(defer_max=0.001, concurrency=4), dict[str, int]()

    @sub.handler
    async def sync(delivery: Delivery) -> None:
        async with breaker:
            await crm.call()
        done[delivery.event.id] = delivery.attempt

    crm.down = ConnectionRefusedError
    for number in range(3):
        async with breaking(Breakers(bench.store, bench.metrics, random=Random(number))):
            await bench.start(sub, f"c{number}", lease=2.0, sweep_interval=0.2)
    await bench.publish(*(f"e{number}" for number in range(30)))
    await eventually(lambda: bench.count(sub, "deferred") > 60)
    crm.down = None
    await eventually(lambda: len(done) == 30)
    before_it_opened = bench.count(sub, "retried")
    assert before_it_opened == 2  # the third failure of a row has opened it
    assert sum(attempt - 1 for attempt in done.values()) == before_it_opened
    assert bench.count(sub, "dead") == 0
    ran_as_it_opened = 2 + 3 * 4
    assert len(crm.calls) <= ran_as_it_opened + (crm.calls[-1] - crm.calls[0]) / interval + 1


async def test_a_probe_that_dies_gives_up_its_interval(bench: Bench) -> None:
    """Where the worker with the probe is killed, another probe goes in the next interval, and closes the breaker."""
    breaker, sub = Breaker("crm", failures=1, interval=0.5), subscription(concurrency=1)
    hanging, done = asyncio.Event(), list[str]()
    crm = Crm()

    @sub.handler
    async def sync(delivery: Delivery) -> None:
        async with breaker:
            if crm.down is TimeoutError:
                hanging.set()
                await asyncio.Event().wait()
            await crm.call()
        done.append(delivery.event.id)

    crm.down = ConnectionResetError
    await bench.publish("a", "b")
    async with breaking(Breakers(bench.store, bench.metrics)):
        killed = await bench.start(sub, "c1", lease=1.0, sweep_interval=0.2)
        await eventually(lambda: bench.count(sub, "deferred") >= 2)
        crm.down = TimeoutError
        await eventually(hanging.is_set)
        await bench.kill(killed)
        crm.down = None
        await bench.start(sub, "c2", lease=1.0, sweep_interval=0.2)
        await eventually(lambda: set(done) == {"a", "b"})


async def test_a_key_waits_and_its_order_is_kept(bench: Bench) -> None:
    """With a key, the key waits for its first event, and what comes behind that does not overtake it."""
    breaker, crm, done = Breaker("crm", failures=1, interval=0.2), Crm(), list[str]()
    sub = subscription(key="resource")

    @sub.handler
    async def sync(event: Event) -> None:
        async with breaker:
            await crm.call()
        done.append(event.id)

    crm.down = TimeoutError
    await bench.publish("a@1", "b@1", "c@1")
    async with breaking(Breakers(bench.store, bench.metrics)):
        await bench.start(sub)
        await eventually(lambda: bench.count(sub, "deferred") >= 3)
        crm.down = None
        await eventually(lambda: len(done) == 3)
    assert done == ["a", "b", "c"]
    assert bench.count(sub, "retried") == bench.count(sub, "dead") == 0


async def test_a_bad_record_opens_nothing(bench: Bench) -> None:
    """Errors of one record, however many, are attempts, and other events go on."""
    breaker, sub, done = Breaker("crm", failures=1), subscription(retry=Retry(max_attempts=2, first_delay=0)), []

    class Refused(Exception):
        """The target has refused the record."""

        status = 422

    @sub.handler
    async def sync(event: Event) -> None:
        async with breaker:
            if event.id == "bad":
                raise Refused
        done.append(event.id)

    await bench.publish("bad", "good")
    async with breaking(Breakers(bench.store, bench.metrics)):
        await bench.start(sub)
        await eventually(lambda: bench.count(sub, "dead") == 1 and done == ["good"])
    assert bench.count(sub, "deferred") == 0


@pytest.mark.parametrize("batch", [False, True], ids=["one", "batch"])
async def test_a_handler_that_is_a_plain_function(bench: Bench, batch: bool) -> None:  # noqa: FBT001
    """It uses `with`, in its thread; so does one of batches."""
    breaker, sub, crm = Breaker("crm", failures=1, interval=0.2), subscription(batch_size=10), Crm()

    def work() -> None:
        with breaker as call:
            call.answered(503 if crm.down else 200)

    def one(_event: Event) -> None:
        work()

    def many(_events: list[Event]) -> None:
        work()

    sub.handler(many if batch else one)  # type: ignore[call-overload]
    crm.down = TimeoutError
    await bench.publish("a", "b", "c")
    async with breaking(Breakers(bench.store, bench.metrics)):
        await bench.start(sub)
        await eventually(lambda: bench.count(sub, "deferred") >= 6)
        crm.down = None
        await eventually(lambda: bench.count(sub, "done") == 3)
    assert bench.count(sub, "retried") == bench.count(sub, "dead") == 0


async def test_the_time_of_the_handler_counts(bench: Bench) -> None:
    """Where the target hangs until the handler is out of time, it is down; a worker that ends is no time-out."""
    breaker, sub = Breaker("crm", failures=2, interval=60), subscription(timeout=0.1, concurrency=1)
    entered = asyncio.Event()

    @sub.handler
    async def sync(_event: Event) -> None:
        async with breaker:
            entered.set()
            await asyncio.Event().wait()

    async with breaking(Breakers(bench.store, bench.metrics)):
        await bench.publish("a", "b", "c")
        consumer = await bench.start(sub)
        await eventually(lambda: bench.count(sub, "deferred") >= 3)
        await bench.stop(consumer)
    assert bench.count(sub, "retried") == 1


async def test_a_worker_that_ends_is_no_failure(bench: Bench) -> None:
    """What a worker cuts off as it ends says nothing of the target."""
    breaker, sub, entered = Breaker("crm", failures=1), subscription(), asyncio.Event()

    @sub.handler
    async def sync(_event: Event) -> None:
        async with breaker:
            entered.set()
            await asyncio.Event().wait()

    async with breaking(Breakers(bench.store, bench.metrics)) as breakers:
        await bench.publish("a")
        consumer = await bench.start(sub, shutdown_timeout=0.1)
        await eventually(entered.is_set)
        await bench.stop(consumer)
        async with breaker:
            pass
    assert bench.count(sub, "returned") == 1
    assert breakers is not None


async def trip(breaker: Breaker, within: Breaker | None = None) -> BaseException | None:
    """Make one call that fails; return what comes of it."""
    made: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    made.set_exception(TimeoutError())
    try:
        async with breaker, within or nullcontext():
            await made
    except (BreakerOpen, TimeoutError) as raised:
        return raised
    return None


async def test_who_waits_comes_back_scattered(store: Store) -> None:
    """Events come back no sooner than the next probe, over an interval, and over longer the longer it is down."""
    breaker = Breaker("crm", failures=1, interval=10)
    async with breaking(Breakers(store, random=Random(1))):
        assert isinstance(await trip(breaker), BreakerOpen)

        async def delays() -> list[float]:
            found = [await trip(breaker) for _ in range(50)]
            return [one.delay for one in found if isinstance(one, BreakerOpen)]

        short = await delays()
        await store.client.hset(store.keys.breaker("crm"), "opened", "1")
        long = await delays()
    assert len({round(delay, 2) for delay in short}) > 25
    assert min(short) > 5
    assert max(short) < 20
    assert sum(short) < sum(long)
    assert max(long) < 70


async def test_what_fails_while_it_is_open_is_no_attempt(store: Store) -> None:
    """Of the calls that ran as it opened, those that fail later are deferred; so is one that began in the outage."""
    breaker = Breaker("crm", failures=2, interval=0.01)
    async with breaking(Breakers(store)):
        first, second, third = (breaker_call(breaker) for _ in range(3))
        for call in (first, second, third):
            await call.begin()
        assert isinstance(await first.end(TimeoutError()), TimeoutError)
        assert isinstance(await second.end(TimeoutError()), BreakerOpen)
        await eventually(lambda: closes(breaker))
        assert isinstance(await third.end(TimeoutError()), BreakerOpen)


async def closes(breaker: Breaker) -> bool:
    """Call with success; return whether that was let go."""
    try:
        async with breaker:
            return True
    except BreakerOpen:
        return False


class breaker_call:  # noqa: N801 - reads as a function
    """A call of a task of its own, which begins and ends when it is asked to."""

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._begun = asyncio.Event()
        self._ends: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def begin(self) -> None:
        """Enter the breaker."""
        self._task = asyncio.create_task(self._run())
        await self._begun.wait()

    async def end(self, error: BaseException) -> BaseException | None:
        """Have the call fail; return what comes of it."""
        self._ends.set_exception(error)
        return await self._task

    async def _run(self) -> BaseException | None:
        try:
            async with self._breaker:
                self._begun.set()
                await self._ends
        except (BreakerOpen, TimeoutError) as raised:
            return raised
        return None


async def test_while_the_store_is_away_each_worker_judges_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on from what the store said, by the same rules, and follows the store when that is back."""
    now, away, call = 0.0, False, store.call

    async def calling(asked: Any) -> Any:
        if away:
            raise StoreUnavailable("no answer")
        return await call(asked)

    monkeypatch.setattr(store, "call", calling)
    breaker = Breaker("crm", failures=2, interval=5)
    async with breaking(Breakers(store, monotonic=lambda: now)):
        assert isinstance(await trip(breaker), TimeoutError)
        away = True
        assert isinstance(await trip(breaker), BreakerOpen)
        assert not await closes(breaker)
        now = 6.0
        assert isinstance(await trip(breaker), BreakerOpen)
        assert not await closes(breaker)
        now = 12.0
        assert await closes(breaker)
        assert await closes(breaker)
        away, now = False, 20.0
        assert await closes(breaker)
        assert isinstance(await trip(breaker), TimeoutError)
        assert isinstance(await trip(breaker), BreakerOpen)


async def test_a_name_that_cannot_be_written_down_fails_no_call(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that goes away behind the script fails nothing: the name is written down with a later call."""
    command, away = store.command, True

    async def asked(*what: Any) -> Any:
        if away and what[0] == "ZADD":
            raise StoreUnavailable("no answer")
        return await command(*what)

    monkeypatch.setattr(store, "command", asked)
    breaker = Breaker("crm")
    async with breaking(Breakers(store)):
        assert await closes(breaker)
        away = False
        assert await closes(breaker)
    assert await store.client.zcard(store.keys.breakers()) == 1


async def test_it_is_used_in_a_call_within_a_call(store: Store) -> None:
    """Breakers may be nested, and used by many tasks at once: each call is heard of for itself."""
    outer, inner = Breaker("outer", failures=1), Breaker("inner", failures=1)
    async with breaking(Breakers(store)):
        assert isinstance(await trip(outer, inner), BreakerOpen)
        assert await closes(outer)
        assert not await closes(inner)


async def test_in_an_async_handler_with_is_refused(store: Store) -> None:
    """`with` would stop the event loop for good: it says so at once, and what to write."""
    async with breaking(Breakers(store)):
        with pytest.raises(ConfigError, match="async form"), Breaker("crm"):
            pass


def opened() -> Breaker:
    """Return a breaker that has been opened with no worker running."""
    breaker = Breaker("crm", failures=1)
    with pytest.raises(BreakerOpen), breaker as call:
        call.answered(500)
    return breaker


def test_in_a_test_a_breaker_judges_by_itself() -> None:
    """With nothing running, the outcome of a handler is a deferral that nothing bounds."""
    breaker, sub = opened(), Subscription("sub", events=["*"])

    @sub.handler
    async def sync(_event: Event) -> None:
        async with breaker:
            pass

    [outcome] = run(sub, sample_event(STREAM), deferred_for=1e9)
    assert isinstance(outcome, DeferFor)
    assert not outcome.bounded
    assert 0 < outcome.seconds <= 20


def test_what_a_handler_asks_for_within() -> None:
    """An outcome that the handler raises within is that of its event."""
    breaker, sub = Breaker("crm", failures=1), Subscription("sub", events=["*"])

    @sub.handler
    async def sync(event: Event) -> None:
        async with breaker:
            if event.user_id:
                raise RetryLater(7)

    assert run(sub, sample_event(STREAM, user_id="u")) == [RetryIn(7)]
    assert run(sub, sample_event(STREAM, user_id=None)) == [Done()]


def test_a_deferral_of_ones_own_is_bounded_all_the_same() -> None:
    """In a group that holds another deferral, too, `defer_max` counts."""
    sub = Subscription("sub", events=["*"], defer_max=60)

    @sub.handler
    async def sync(_event: Event) -> None:
        raise ExceptionGroup("x", [BreakerOpen(5), Defer(3)])

    assert run(sub, sample_event(STREAM), deferred_for=58) == [DeferFor(2, "the handler deferred it")]


WRONG: list[dict[str, Any]] = [
    {"name": "a b"},
    {"failures": 0},
    {"failures": 1.5},
    {"interval": 0},
    {"interval": float("inf")},
    {"failed_by": "TimeoutError"},
    {"failed_by": [TimeoutError()]},
]


@pytest.mark.parametrize("options", WRONG, ids=str)
def test_a_breaker_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    """Wrong options are found when they are written."""
    make: Callable[..., Breaker] = Breaker
    with pytest.raises(ConfigError):
        make(**{"name": "crm", **options})
