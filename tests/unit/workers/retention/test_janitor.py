"""The janitor: one round in an interval for the whole fleet, whatever happens to the store; memory stays flat."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs
from support.filling import CUSTOMERS, put_events, put_group, raw_of
from support.servers import Server, starting
from support.stores import real_store as on_real_server
from support.waiting import eventually

from config.settings import RetentionSettings, Settings, WorkerSettings
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import STORE_ERRORS, StoreRefused
from router.store.scripts import BATCH, Call, append
from workers import Event, Subscription
from workers.consuming.consumer import Consumer
from workers.metrics import WorkerMetrics
from workers.operations.removal import Removal
from workers.retention.janitor import Janitor
from workers.retention.round import Retention

Make = Callable[..., Janitor]


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> list[Retention]:
    """Return a list that gets an item for each round, which does nothing else."""
    done: list[Retention] = []

    async def count(self: Retention) -> None:
        done.append(self)

    monkeypatch.setattr(Retention, "round", count)
    return done


@pytest.fixture
def make(store: Store, catalogue: Catalogue) -> Make:
    """Return a function that makes janitors of one fleet."""

    def janitor(name: str = "w1", **options: Any) -> Janitor:
        return Janitor(name, store, catalogue, RetentionSettings(**options), WorkerMetrics(CollectorRegistry()))

    return janitor


async def test_one_of_the_fleet_does_the_round(make: Make, rounds: list[Retention], store: Store) -> None:
    """Whoever asks first does the round of the interval; the claim is a key with the time to live of an interval."""
    first, second = make("first", interval=100), make("second", interval=100)
    await asyncio.gather(first.ask(), second.ask())
    await second.ask()
    assert len(rounds) == 1
    client: Any = store.client
    key = store.keys.janitor()
    assert await client.get(key) in (b"first", b"second")
    assert 99_000 < await client.pttl(key) <= 100_000


async def test_the_next_interval_is_anybodys(make: Make, rounds: list[Retention]) -> None:
    """Each interval has its round, though the worker that did the last one has gone."""
    await make("gone", interval=0.05).ask()
    async with make("other", interval=0.05):
        await eventually(lambda: len(rounds) >= 4)


async def test_a_fleet_shares_the_rounds(make: Make, rounds: list[Retention]) -> None:
    """Many workers do not do many times the rounds: no two are closer than an interval."""
    interval, clock = 0.2, asyncio.get_running_loop().time
    start = clock()
    async with AsyncExitStack() as fleet:
        for number in range(5):
            await fleet.enter_async_context(make(f"w{number}", interval=interval))
        await eventually(lambda: len(rounds) >= 4)
        assert len(rounds) <= (clock() - start) / interval + 1


async def test_it_survives_the_store(make: Make, rounds: list[Retention], monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store is away it says so and asks again; then it goes on by itself."""
    janitor = make(interval=0.02)
    claim, failures = janitor._claim, [RedisConnectionError("away"), OSError("net"), TimeoutError()]

    async def failing() -> bool:
        if failures:
            raise failures.pop()
        return await claim()

    monkeypatch.setattr(janitor, "_claim", failing)
    with capture_logs() as logged:
        async with janitor:
            await eventually(lambda: rounds)
    assert [line["event"] for line in logged] == ["retention_failed"] * 3


async def test_a_fault_of_ours_is_no_end(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round that breaks is logged with its traceback, and the next one is done."""
    calls: list[int] = []

    async def broken(self: Retention) -> None:
        calls.append(1)
        raise ZeroDivisionError

    monkeypatch.setattr(Retention, "round", broken)
    with capture_logs() as logged:
        async with make(interval=0.02):
            await eventually(lambda: len(calls) >= 2)
    assert logged[0]["event"] == "retention_broken"
    assert logged[0]["exc_info"]


async def test_a_claim_that_is_refused_is_no_reason_to_stay_idle(
    make: Make, rounds: list[Retention], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is full cannot take the claim, and needs the round most."""

    async def refuse(*_arguments: Any, **_options: Any) -> None:
        raise StoreRefused("OOM command not allowed when used memory > 'maxmemory'")

    monkeypatch.setattr(store, "command", refuse)
    await make().ask()
    assert len(rounds) == 1


async def test_a_stop_waits_for_no_interval(
    make: Make, rounds: list[Retention], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A janitor that sleeps for long ends at once, before its first round as well as after it."""
    async with asyncio.timeout(4):
        async with make(interval=3600):
            pass
    assert not rounds
    janitor = make(interval=3600)
    monkeypatch.setattr(janitor._random, "uniform", lambda low, _high: low)
    async with asyncio.timeout(4):
        async with janitor:
            await eventually(lambda: rounds)


@pytest.mark.real
async def test_a_full_server_is_trimmed(catalogue: Catalogue) -> None:
    """Where memory has run out, so that nothing can be appended, old events are removed all the same."""
    with starting() as server:
        async with on_real_server(server.url) as store:
            client: Any = store.client
            for number in range(50):
                await client.xadd(store.keys.events(CUSTOMERS), {"raw": "x" * 1000}, id=f"{number + 1}-0")
            await client.config_set("maxmemory", 1)
            with pytest.raises(StoreRefused):
                await put_events(store, "e1")
            await Janitor("w1", store, catalogue, RetentionSettings(), WorkerMetrics(CollectorRegistry())).ask()
            assert await client.xlen(store.keys.events(CUSTOMERS)) == 0


@pytest.mark.real
async def test_it_outlives_the_server(catalogue: Catalogue, tmp_path: Path) -> None:
    """A server that is killed and comes back is tidied up again, with nobody's help."""
    server = Server(tmp_path)
    server.start()
    try:
        async with on_real_server(server.url) as store:
            key, client = store.keys.events(CUSTOMERS), store.client

            async def empty() -> bool:
                try:
                    return not await client.xlen(key)
                except STORE_ERRORS:
                    return False

            retention = RetentionSettings(interval=0.05)
            with capture_logs() as logged:
                async with Janitor("w1", store, catalogue, retention, WorkerMetrics(CollectorRegistry())):
                    server.kill()
                    await eventually(lambda: "retention_failed" in [line["event"] for line in logged])
                    server.start()
                    await client.xadd(key, {"raw": "x"}, id="1-0")
                    await eventually(empty)
    finally:
        server.kill()


@pytest.mark.real
async def test_memory_stays_flat(real_store: Store, catalogue: Catalogue) -> None:
    """While thousands of events pass, neither a stream nor the number of keys grows beyond what is under way."""
    store, client = real_store, real_store.client
    handled: set[str] = set()
    subscription = Subscription("sync", events=[CUSTOMERS])

    @subscription.handler
    async def handle(event: Event) -> None:
        handled.add(event.id)

    metrics = WorkerMetrics(CollectorRegistry())
    retention = RetentionSettings(interval=0.02, events=0.05)
    consumer = Consumer(subscription, "w1", store, catalogue, WorkerSettings(block=0.1), metrics)
    janitor = Janitor("w1", store, catalogue, retention, metrics)

    async def keys() -> int:
        return len([key async for key in client.scan_iter(match=f"{store.keys.prefix}:*", count=1000)])

    async def settled() -> bool:
        return await client.xlen(store.keys.events(CUSTOMERS)) < 100 and await keys() < 100

    await consumer.start()
    try:
        async with janitor:
            for batch in range(20):
                ids = [f"{batch}-{number}" for number in range(400)]
                await store.run([_append(store, ids[start : start + BATCH]) for start in range(0, len(ids), BATCH)])
                await eventually(lambda ids=ids: handled.issuperset(ids))
                await eventually(settled)
    finally:
        await consumer.stop()
    assert len(handled) == 8000


def _append(store: Store, ids: Sequence[str]) -> Call:
    """Append as ingress does, with markers that are forgotten soon."""
    fields = [part for id_ in ids for part in ("id", id_, "at", 1_760_000_000_000, "raw", raw_of(id_))]
    markers = [store.keys.seen(CUSTOMERS, id_) for id_ in ids]
    return append(store.keys.events(CUSTOMERS), markers, fields, 50)


async def test_a_subscription_that_lags_keeps_its_events(
    make: Make, store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one subscription has still to do outlives any number of rounds; once it is removed it holds back nothing."""
    key = store.keys.events(CUSTOMERS)
    client: Any = store.client
    original, rounds = Retention.round, []

    async def counted(self: Retention) -> None:
        await original(self)
        rounds.append(await client.xlen(key))

    monkeypatch.setattr(Retention, "round", counted)
    await put_group(store, "fast")
    await put_group(store, "slow")
    await put_events(store, *(f"e{number}" for number in range(50)))
    await store.commands([("XREADGROUP", "GROUP", "fast", "c", "COUNT", 50, "NOACK", "STREAMS", key, ">")])
    async with make(interval=0.01, events=0.001):
        await eventually(lambda: len(rounds) >= 3)
        assert set(rounds) == {50}
        await Removal(store, catalogue, Settings(), "slow").run()
        await eventually(lambda: rounds[-1] == 0)
