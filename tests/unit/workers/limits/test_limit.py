"""Limits as handlers use them: with workers over each kind of store, by themselves, and while the store is away."""

import asyncio
import time
from collections import Counter, defaultdict
from random import Random
from typing import Any

import pytest
from support.keyed_bench import STREAM, Bench
from support.waiting import eventually

from config.errors import ConfigError
from router.store.client import Store
from router.store.errors import StoreUnavailable
from router.store.limits import Heard, Standing
from workers import Defer, Delivery, Event, Retry, Subscription
from workers.limits import Limit, Limiter, limiting
from workers.limits.share import Share
from workers.state.limits import limits
from workers.testing import DeferFor, Done, deliver, run, sample_event


class Erp:
    """Another side that has so many calls for each company in a window, and says so in headers."""

    def __init__(self, quota: int, window: float) -> None:
        self.quota = quota
        self.window = window
        self.refused = Counter[tuple[str, int]]()
        self.left: dict[tuple[str, int], int] = defaultdict(lambda: quota)

    def call(self, company: str) -> tuple[int, dict[str, str]]:
        """Answer a call: its status and headers."""
        now = time.monotonic()
        number = int(now // self.window)
        ends_in = (number + 1) * self.window - now + 0.01
        headers = {"X-RateLimit-Limit": str(self.quota), "X-RateLimit-Reset": f"{ends_in:.3f}"}
        if not self.left[company, number]:
            self.refused[company, number] += 1
            return 429, {"Retry-After": f"{ends_in:.3f}"}
        self.left[company, number] -= 1
        return 200, {**headers, "X-RateLimit-Remaining": str(self.left[company, number])}


async def test_workers_share_a_quota_and_none_is_refused(bench: Bench) -> None:
    """Four workers never overdraw the quota of a company; every event is done, and waiting uses up no attempt.

    A company that has quota left does not wait behind one that has none.
    """
    erp = Erp(quota=6, window=1.0)
    limit = Limit("erp", per="company", headers="x-ratelimit", window=1.0)
    subscription = Subscription("sub", events=[STREAM], retry=Retry(max_attempts=1), concurrency=8)
    done: list[tuple[str, int]] = []

    @subscription.handler
    async def sync(delivery: Delivery) -> None:
        await limit.acquire(delivery)
        company = str(delivery.event.company_id)
        status, headers = erp.call(company)
        await limit.learn(delivery, headers, status)
        assert status == 200
        done.append((company, delivery.attempt))

    await bench.publish(*(f"big{number}" for number in range(20)), company="1")
    await bench.publish(*(f"small{number}" for number in range(3)), company="2")
    for number in range(4):
        async with limiting(Limiter(bench.store, f"c{number}", bench.metrics, random=Random(number))):
            await bench.start(subscription, f"c{number}")
    await eventually(lambda: len(done) == 23)
    assert erp.refused.total() == 0
    assert bench.count(subscription, "deferred") > 0
    assert bench.count(subscription, "dead") == bench.count(subscription, "retried") == 0
    assert {attempt for _, attempt in done} == {1}
    last_small = max(index for index, (company, _) in enumerate(done) if company == "2")
    assert last_small < 22
    [found] = await limits(bench.store)
    assert (found.name, found.workers, [quota.subject for quota in found.quotas]) == ("erp", 4, ["1", "2"])
    granted = {"limit": "erp", "outcome": "granted"}
    assert bench.registry.get_sample_value("event_router_limit_calls_total", granted) == 23


@pytest.mark.long
async def test_workers_that_are_killed_overdraw_nothing(bench: Bench) -> None:
    """Eight workers, of which two are killed at work: of no company is more than one call refused in a window.

    Every event is done, and waiting uses up no attempt.
    """
    erp = Erp(quota=10, window=2.0)
    limit = Limit("erp", per="company", headers="x-ratelimit", window=2.0)
    retry = Retry(max_attempts=3)  # what a killed worker had in hand is suspected once
    subscription = Subscription("sub", events=[STREAM], retry=retry, concurrency=4)
    done = set[str]()

    @subscription.handler
    async def sync(event: Event) -> None:
        await limit.acquire(event)
        await asyncio.sleep(0.005)
        status, headers = erp.call(str(event.company_id))
        await asyncio.sleep(0.005)
        await limit.learn(event, headers, status)
        if status == 429:
            raise Defer(0.1, "refused")
        done.add(event.id)

    for company in range(8):
        await bench.publish(*(f"{company}-{number}" for number in range(30)), company=str(company))
    consumers = []
    for number in range(8):
        async with limiting(Limiter(bench.store, f"c{number}", bench.metrics, random=Random(number))):
            consumers.append(await bench.start(subscription, f"c{number}", lease=2.0, sweep_interval=0.2))
    for consumer in consumers[:2]:
        so_far = len(done)
        await eventually(lambda so_far=so_far: len(done) > so_far + 20)  # type: ignore[misc]
        await bench.kill(consumer)
    await eventually(lambda: len(done) == 240, timeout=60)
    assert max(erp.refused.values(), default=0) <= 1
    assert bench.count(subscription, "dead") == bench.count(subscription, "retried") == 0


async def test_a_handler_that_is_a_plain_function(bench: Bench) -> None:
    """It asks from its thread; who may not go is deferred likewise."""
    limit = Limit("crm", rate=1, window=3600)
    subscription = Subscription("sub", events=[STREAM])

    @subscription.handler
    def sync(event: Event) -> None:
        limit.acquire_in_thread(event)
        limit.learn_in_thread(event, {}, 200)

    await bench.publish("a", "b")
    async with limiting(Limiter(bench.store, "c1", bench.metrics)):
        await bench.start(subscription)
    await eventually(lambda: bench.count(subscription, "done") == bench.count(subscription, "deferred") == 1)


async def test_who_waits_for_a_window_comes_back_scattered(store: Store) -> None:
    """All that wait for one window do not come back at one moment, and none before it."""
    limit = Limit("crm", rate=1, window=100)
    delays = []
    async with limiting(Limiter(store, "w1")):
        await limit.acquire()
        for _ in range(20):
            with pytest.raises(Defer, match="the limit crm is used up") as deferred:
                await limit.acquire()
            delays.append(deferred.value.delay)
    assert min(delays) > 60
    assert max(delays) < 106
    assert len({round(delay, 2) for delay in delays}) > 10


class Away:
    """A store that can be away."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.away = False
        self.asked = 0
        call = store.call

        async def calling(asked: Any) -> Any:
            self.asked += 1
            if self.away:
                raise StoreUnavailable("no answer")
            return await call(asked)

        monkeypatch.setattr(store, "call", calling)


async def test_while_the_store_is_away_each_worker_has_a_share(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left is divided by the workers that share it, and reported when the store is back."""
    limit, now = Limit("crm", rate=9, window=3600), 0.0
    workers = [Limiter(store, f"w{number}", monotonic=lambda: now) for number in range(2)]
    for worker in workers:
        await worker.acquire(limit.terms, "")
    away = Away(store, monkeypatch)
    await workers[0].learn(limit.terms, "", Heard())
    away.away = True
    granted = Counter[int]()
    for number, worker in enumerate(workers):
        for _ in range(9):
            try:
                await worker.acquire(limit.terms, "")
            except Defer:
                break
            granted[number] += 1
    assert granted == {0: 3, 1: 3}
    away.away, now = False, 10.0
    for worker in workers:
        try:
            await worker.acquire(limit.terms, "")
        except Defer:
            break
    [found] = await limits(store)
    assert found.quotas[0].left == 0


async def test_a_refusal_holds_for_workers_that_lose_the_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """After 429 a worker that did not see it itself waits while the store is away, too, and no longer."""
    limit, now = Limit("erp", headers="x-ratelimit"), 0.0
    seen, other = (Limiter(store, f"w{number}", monotonic=lambda: now) for number in range(2))
    await seen.learn(limit.terms, "", Heard(closed=600.0))
    with pytest.raises(Defer):
        await other.acquire(limit.terms, "")
    Away(store, monkeypatch).away = True
    with pytest.raises(Defer, match="used up") as deferred:
        await other.acquire(limit.terms, "")
    assert deferred.value.delay > 500
    now = 601.0
    await other.acquire(limit.terms, "")


async def test_a_store_that_is_away_is_not_asked_each_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a second after it did not answer, nobody waits for it."""
    limit, away = Limit("crm", rate=9), Away(store, monkeypatch)
    worker = Limiter(store, "w1", monotonic=lambda: 0.0)
    away.away = True
    for _ in range(5):
        await worker.acquire(limit.terms, "")
    assert away.asked == 1


def test_a_share_learns_alone() -> None:
    """Without a store one call finds out, headers only lower what is left, and a refusal closes."""
    share = Share(3600.0, None, 0.0)
    heard = Heard()
    assert share.take(0) == (True, 0.0)
    assert share.take(0) == (False, None)
    share.learn(heard._replace(limit=10, left=2, ends_in=60.0), 0)
    assert [share.take(1)[0] for _ in range(3)] == [True, True, False]
    share.learn(heard._replace(limit=10, left=9, ends_in=60.0), 1)
    assert share.take(2) == (False, 58.0)
    share.learn(heard._replace(closed=100.0), 2)
    assert share.take(70) == (False, 32.0)
    assert share.take(103)[0]
    share.learn(heard, 103)
    assert [share.take(104)[0] for _ in range(3)] == [True] * 3
    share.follow(Standing(True, 0.0, 10, 4, 60.0, 2), 104)
    assert [share.take(105)[0] for _ in range(3)] == [True, True, False]


def test_in_a_test_a_limit_counts_by_itself() -> None:
    """With nothing running a limit grants its rate, and then the outcome is a deferral."""
    limit = Limit("crm", rate=1, window=100)
    subscription = Subscription("sub", events=["*"])

    @subscription.handler
    async def sync(event: Event) -> None:
        await limit.acquire(event)

    event = sample_event(STREAM)
    first, second = run(subscription, event), run(subscription, event)
    assert first == [Done()]
    [outcome] = second
    assert isinstance(outcome, DeferFor)
    assert 0 < outcome.seconds <= 105


def test_in_a_thread_without_a_worker() -> None:
    """A plain function can be tried with nothing running, too."""
    limit = Limit("crm", rate=1)
    limit.acquire_in_thread()
    limit.learn_in_thread(None, {}, 200)
    with pytest.raises(Defer):
        limit.acquire_in_thread()


@pytest.mark.parametrize(
    ("per", "subject"),
    [("company", "t1/5100001"), ("tenant", "t1"), (None, ""), (lambda event: event.type, "customer_changed")],
    ids=["company", "tenant", "none", "function"],
)
def test_whose_quota_it_is(per: Any, subject: str) -> None:
    """Companies of different tenants never share a quota; an event and its delivery have the same; a text is itself."""
    event = sample_event(STREAM, company_id="5100001", tenant_id="t1")
    limit = Limit("crm", per=per, rate=1)
    assert limit.subject_of(event) == limit.subject_of(Delivery(event, "sub")) == subject
    assert limit.subject_of("x") == ("" if per is None else "x")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rate": 1, "headers": "x-ratelimit"},
        {"rate": 0},
        {"rate": 1.5},
        {"rate": float("inf")},
        {"rate": 1, "window": 0},
        {"rate": 1, "window": float("inf")},
        {"rate": 1, "reserve": 1},
        {"rate": 1, "reserve": -0.1},
        {"rate": 1, "per": "customer"},
        {"name": "a b", "rate": 1},
    ],
    ids=str,
)
def test_a_limit_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    """Wrong options are found when they are written."""
    with pytest.raises(ConfigError):
        Limit(**{"name": "crm", **options})


async def test_a_handler_that_is_cancelled_while_it_asks(store: Store) -> None:
    """What was to be reported is not forgotten by a call that is cut short."""
    limit, worker = Limit("crm", rate=9), Limiter(store, "w1")
    await worker.acquire(limit.terms, "")
    worker._shares["crm", ""].spent = 3
    task = asyncio.create_task(worker.acquire(limit.terms, ""))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() is (worker._shares["crm", ""].spent == 3)


async def test_deliver_defers(store: Store) -> None:
    """In a context with a limiter the outcome of a handler is the store's word."""
    limit = Limit("crm", rate=1)
    subscription = Subscription("sub", events=["*"])

    @subscription.handler
    async def sync(event: Event) -> None:
        await limit.acquire(event)

    async with limiting(Limiter(store, "w1")):
        outcomes = await deliver(subscription, sample_event(STREAM), sample_event(STREAM))
    assert [type(outcome) for outcome in outcomes] == [Done, DeferFor]
