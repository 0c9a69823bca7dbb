"""What ingress and workers count: `router/ingress/metrics.py`, `workers/metrics.py`."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from opentelemetry import trace
from prometheus_client import CollectorRegistry
from redis.exceptions import ConnectionError as RedisConnectionError
from support.filling import CUSTOMERS, FINANCIAL, put_events
from support.stores import fake_store
from support.waiting import eventually

from config.settings import OpsSettings, RetentionSettings, Settings, WorkerSettings
from router.events.catalogue import Catalogue
from router.http.server import Server
from router.ingress.app import Ingress
from router.ingress.metrics import IngressMetrics
from router.intake.entry import Entry
from router.intake.group_commit import Appender
from router.intake.spool import Spool
from router.intake.writer import Batch
from router.process.ops import OpsServer
from router.store.client import Store
from router.store.errors import StoreUnavailable
from router.telemetry.spans import sending
from workers import Event, Subscription
from workers.consuming.consumer import Consumer
from workers.metrics import WorkerMetrics
from workers.retention.janitor import Janitor

Value = Callable[..., float | None]


def reading(registry: CollectorRegistry) -> Value:
    """Return what reads metrics of the router."""
    return lambda name, **labels: registry.get_sample_value(f"event_router_{name}", labels)


@pytest.fixture
def registry() -> CollectorRegistry:
    """Return an empty registry."""
    return CollectorRegistry()


async def test_requests_are_counted_by_publisher_and_class(registry: CollectorRegistry, catalogue: Catalogue) -> None:
    """Each request counts once in its class; a path that somebody made up is no label, however many there are."""
    value = reading(registry)
    settings = Settings(allow_unsigned=(FINANCIAL,))
    async with fake_store() as store, ClientSession() as session:
        appender = Appender(Batch(store, window=60_000))
        server = Server(Ingress(settings, catalogue, appender, IngressMetrics(registry)), settings.ingress)
        listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/webhooks/"
        assert value("requests_total", publisher=FINANCIAL, status="5xx") == 0
        for path in (FINANCIAL, FINANCIAL, *(f"made-up-{number}" for number in range(20))):
            async with session.post(url + path, data=b"[]"):
                pass
        async with session.get(url + FINANCIAL):
            pass
        listening.close()
        server.close()
        await server.finish(5)
        server.abort()
        await listening.wait_closed()
    assert value("requests_total", publisher=FINANCIAL, status="2xx") == 2
    assert value("requests_total", publisher=FINANCIAL, status="4xx") == 1
    assert value("requests_total", publisher="", status="4xx") == 20
    samples = [sample for family in registry.collect() for sample in family.samples]
    told = {sample.labels["publisher"] for sample in samples if "publisher" in sample.labels}
    assert told == {"", *catalogue.publishers}


async def test_batches_are_measured(registry: CollectorRegistry) -> None:
    """How many items shared a round trip, and how long it took, also one that failed."""
    value = reading(registry)
    async with fake_store() as store:
        batch = Batch(store, window=60_000)
        IngressMetrics(registry).watch_batches(batch)
        keys = store.keys
        names = ("a", "b", "c")
        fields = [("id", name, "at", 1, "raw", b"{}") for name in names]
        entries = [
            Entry(keys.events(CUSTOMERS), keys.seen(CUSTOMERS, name), row, 2)
            for name, row in zip(names, fields, strict=True)
        ]
        await batch.append(entries)
        await batch.append(entries[:1])
    assert (value("append_batch_items_count"), value("append_batch_items_sum")) == (2, 4)
    assert value("append_seconds_count") == 2


async def test_that_ingress_spools_is_told(registry: CollectorRegistry, tmp_path: Path) -> None:
    """1 from the first refusal of the store until it took everything, 0 otherwise."""
    value = reading(registry)
    spool = Spool.open(tmp_path, max_bytes=1000)
    IngressMetrics(registry).watch(spool)
    assert (value("spooling"), value("spool_max_bytes")) == (0, 1000)
    spool.store.refused(StoreUnavailable("away"), away=True)
    assert value("spooling") == 1
    spool.store.succeeded()
    assert value("spooling") == 0
    await spool.close()


async def test_what_a_worker_has_in_hand(registry: CollectorRegistry, store: Store, catalogue: Catalogue) -> None:
    """Those that were read, and of them those whose handler runs; both are exact whenever somebody asks."""
    value = reading(registry)
    go = asyncio.Event()
    subscription = Subscription("sync", events=[CUSTOMERS], concurrency=2)

    @subscription.handler
    async def handle(_event: Event) -> None:
        await go.wait()

    await put_events(store, *"abcde")
    settings = WorkerSettings(lease=60, block=0.1, sweep_interval=60, shutdown_timeout=5)
    consumer = Consumer(subscription, "w1", store, catalogue, settings, WorkerMetrics(registry))
    assert value("recovered_total", subscription="sync") == 0
    await consumer.start()
    await eventually(lambda: value("in_flight", subscription="sync") == 2)
    assert value("in_hand", subscription="sync") == len(consumer.context.in_hand) >= 2
    go.set()
    await eventually(lambda: value("outcomes_total", subscription="sync", outcome="done") == 5)
    assert value("in_hand", subscription="sync") == value("in_flight", subscription="sync") == 0
    assert value("queue_seconds_count", subscription="sync") == 5
    await consumer.stop()


async def test_rounds_of_retention_are_counted(
    registry: CollectorRegistry, store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round is done, or it failed: where the store refuses a part of it as well as where it is away."""
    value = reading(registry)
    metrics, often = WorkerMetrics(registry), RetentionSettings(interval=0.001)
    janitor = Janitor("w1", store, catalogue, often, metrics)
    rounds: list[float | None] = [value("retention_rounds_total", outcome=name) for name in ("done", "failed")]
    assert rounds == [0, 0]
    await janitor.ask()
    assert value("retention_rounds_total", outcome="done") == 1
    await store.client.set(store.keys.events(CUSTOMERS), "no stream")
    janitor = Janitor("w2", store, catalogue, often, metrics)  # the other trusts for a while that all are young
    await asks(janitor, lambda: value("retention_rounds_total", outcome="failed") == 1)

    async def away(*_: Any, **__: Any) -> None:
        raise RedisConnectionError("away")

    monkeypatch.setattr(store, "command", away)
    await janitor.ask()
    assert value("retention_rounds_total", outcome="failed") == 2
    assert value("retention_rounds_total", outcome="done") == 1


async def asks(janitor: Janitor, done: Callable[[], bool]) -> None:
    """Ask for rounds until something is so: the claim of the last one runs out in its own time."""

    async def ask() -> bool:
        await janitor.ask()
        return done()

    await eventually(ask)


async def test_metrics_are_looked_up_before_they_are_told() -> None:
    """What `refresh` finds out is in the very answer to the scrape that asked; other pages do not ask."""
    asked: list[int] = []

    async def refresh() -> None:
        asked.append(1)

    async def readiness() -> dict[str, bool | str]:
        return {}

    registry = CollectorRegistry()
    ops = OpsServer(OpsSettings(port=0), readiness, registry, role="worker", name="w1", refresh=refresh)
    port = await ops.start()
    async with ClientSession() as session:
        for path, expected in (("/healthz", 0), ("/readyz", 0), ("/metrics", 1), ("/metrics", 2)):
            async with session.get(f"http://127.0.0.1:{port}{path}"):
                assert len(asked) == expected
    await ops.stop()


async def test_a_set_up_that_is_there_already_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under `opentelemetry-instrument` spans go where that sends them; it is not ours to end."""
    theirs = trace.NoOpTracerProvider()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: theirs)
    async with sending(1.0, "event-router-worker") as provider:
        assert provider is theirs
