"""The figures of the store, as metrics: `workers/operations/store_metrics.py` and `workers/state/oldest.py`."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs
from support.filling import CUSTOMERS, FINANCIAL, put_dead, put_events, put_group, put_quarantined

from router.events.catalogue import Catalogue
from router.store import scripts
from router.store.client import Store
from workers.operations import pauses, store_metrics
from workers.operations.store_metrics import StoreMetrics
from workers.state.oldest import oldest_waiting
from workers.state.overview import overview

SUPPLIERS = f"{FINANCIAL}/supplier_changed"
LEASE = 15.0


class Scraped:
    """The metrics of a store, at a time of one's own."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self.registry = CollectorRegistry()
        self.now = 1000.0
        self.metrics = StoreMetrics(store, catalogue, LEASE, self.registry, lambda: self.now)

    def value(self, name: str, **labels: str) -> float | None:
        """Return a metric as it was found last."""
        return self.registry.get_sample_value(f"event_router_{name}", labels)

    def of(self, subscription: str, stream: str = CUSTOMERS) -> dict[str, float | None]:
        """Return the figures of a subscription on a stream."""
        names = ("lag_events", "pending_events", "scheduled_events", "dead_events")
        labels = {"subscription": subscription, "stream": stream}
        return {name.partition("_")[0]: self.value(f"subscription_{name}", **labels) for name in names}


@pytest.fixture
def scraped(store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> Scraped:
    """Return the metrics of each store, which has all the time that a busy machine may take."""
    monkeypatch.setattr(store_metrics, "_PATIENCE", 60.0)
    return Scraped(store, catalogue)


async def read(store: Store, count: int) -> None:
    """Let a worker of `sync` take events in hand."""
    key = store.keys.events(CUSTOMERS)
    await store.commands([("XREADGROUP", "GROUP", "sync", "w1", "COUNT", count, "STREAMS", key, ">")])


async def test_the_figures_are_those_of_the_streams_command(scraped: Scraped, store: Store) -> None:
    """Each place of an event is a gauge of its subscription and stream; empty streams are told as empty."""
    await put_group(store, "sync", CUSTOMERS, SUPPLIERS)
    await put_events(store, *"abcde")
    await read(store, 2)
    await store.client.zadd(store.keys.due(CUSTOMERS, "sync"), {"1-0": 1})
    await put_dead(store, "dead")
    await put_quarantined(store, b"{")
    await scraped.metrics.refresh()
    assert scraped.value("store_up") == 1
    assert scraped.of("sync") == {"lag": 3, "pending": 2, "scheduled": 1, "dead": 1}
    assert scraped.of("sync", SUPPLIERS) == {"lag": 0, "pending": 0, "scheduled": 0, "dead": 0}
    assert scraped.value("stream_events", stream=CUSTOMERS) == 5
    assert scraped.value("stream_events", stream=f"{FINANCIAL}/unlisted") == 0
    assert scraped.value("quarantine_entries", publisher=FINANCIAL) == 1


async def test_workers_that_live_are_counted(scraped: Scraped, store: Store) -> None:
    """A subscription without a sign of life has 0 workers: it is told, since that is what somebody must hear of."""
    await put_group(store, "sync")
    await put_group(store, "idle")
    for name in ("w1", "w2"):
        await store.call(scripts.beat(store.keys.consumers("sync"), name, int(LEASE * 1000)))
    await scraped.metrics.refresh()
    assert scraped.value("subscription_workers", subscription="sync") == 2
    assert scraped.value("subscription_workers", subscription="idle") == 0


async def test_a_group_of_another_program_has_no_figure_of_workers(scraped: Scraped, store: Store) -> None:
    """It never gives a sign of life: 0 would raise the alert for good. What waits for it is counted as for others."""
    await put_events(store, "e0")
    await store.client.xgroup_create(store.keys.events(CUSTOMERS), "crm", "0")
    await scraped.metrics.refresh()
    assert scraped.value("subscription_workers", subscription="crm") is None
    assert scraped.of("crm")["lag"] == 1


async def test_a_pause_is_timed(scraped: Scraped, store: Store) -> None:
    """How long a subscription has been paused is told, and 0 of one that is not."""
    await put_group(store, "sync")
    await put_group(store, "idle")
    await pauses.pause(store, "sync", None, by="somebody")
    await scraped.metrics.refresh()
    assert 0 < (scraped.value("subscription_paused_seconds", subscription="sync") or 0) < 10
    assert scraped.value("subscription_paused_seconds", subscription="idle") == 0


async def test_the_oldest_that_waits(scraped: Scraped, store: Store) -> None:
    """The age of what is in hand, waits in the stream or in the inbox, whichever is the oldest; 0 where all is done."""
    await put_group(store, "sync")
    now = int(time.time() * 1000)
    [entry] = [await store.client.xadd(store.keys.events(CUSTOMERS), {"id": "a"}, id=f"{now - 60_000}-0")]

    async def oldest() -> float | None:
        scraped.now += 60
        await scraped.metrics.refresh()
        return scraped.value("subscription_oldest_seconds", subscription="sync", stream=CUSTOMERS)

    assert await oldest() == pytest.approx(60, abs=5)
    await read(store, 1)
    await store.client.xadd(store.keys.events(CUSTOMERS), {"id": "b"})
    assert await oldest() == pytest.approx(60, abs=5)
    await store.client.xack(store.keys.events(CUSTOMERS), "sync", entry)
    assert await oldest() == pytest.approx(0, abs=5)
    await store.client.xadd(store.keys.inbox(CUSTOMERS, "sync"), {"id": "c"}, id=f"{now - 30_000}-0")
    assert await oldest() == pytest.approx(30, abs=5)
    await store.client.xdel(store.keys.inbox(CUSTOMERS, "sync"), f"{now - 30_000}-0")
    await read(store, 1)
    await store.client.xack(store.keys.events(CUSTOMERS), "sync", *await ids(store))
    assert await oldest() == 0


async def ids(store: Store) -> list[bytes]:
    """Return the ids of all events."""
    return [entry for entry, _ in await store.client.xrange(store.keys.events(CUSTOMERS))]


async def test_a_subscription_that_is_removed_meanwhile(store: Store) -> None:
    """One that was there a moment ago and is not any more has no oldest event, and breaks nothing."""
    await put_group(store, "sync")
    await put_events(store, "a")
    seen = await overview(store, [CUSTOMERS])
    await store.client.xgroup_destroy(store.keys.events(CUSTOMERS), "sync")
    assert await oldest_waiting(store, seen) == {}


def counting(store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return a function that tells how often the store was asked."""
    asked: list[int] = []
    commands = store.commands

    async def counted(*args: Any) -> list[Any]:
        asked.append(1)
        return await commands(*args)

    monkeypatch.setattr(store, "commands", counted)
    return lambda: len(asked)


async def test_the_store_is_asked_once_in_five_seconds(
    scraped: Scraped, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever scrapes at once or soon after gets the same answer; nobody scrapes, nothing is asked."""
    asked = counting(store, monkeypatch)
    assert scraped.value("store_up") == 0
    assert asked() == 0
    await asyncio.gather(*(scraped.metrics.refresh() for _ in range(10)))
    once = asked()
    scraped.now += 4.9
    await scraped.metrics.refresh()
    assert asked() == once
    scraped.now += 0.2
    await scraped.metrics.refresh()
    assert asked() > once


async def test_a_store_that_is_away(scraped: Scraped, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scrape is answered all the same: the store is down, and no figure is told that may have changed since."""
    await put_group(store, "sync")
    await scraped.metrics.refresh()

    async def away(*_: Any) -> list[Any]:
        raise RedisConnectionError("away")

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(store, "commands", away)
        for _ in range(2):
            scraped.now += 10
            await scraped.metrics.refresh()
        assert scraped.value("store_up") == 0
        assert scraped.value("stream_events", stream=CUSTOMERS) is None
        assert [line["event"] for line in logs] == ["store_figures_missing"]
    scraped.now += 10
    await scraped.metrics.refresh()
    assert scraped.value("store_up") == 1
    assert scraped.value("stream_events", stream=CUSTOMERS) == 0


async def test_whatever_the_store_holds(scraped: Scraped, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply that nobody foresaw is as good as none: what the process tells of itself is told all the same."""

    async def odd(*_: Any) -> list[Any]:
        return [b"odd"] * 1000

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(store, "commands", odd)
        await scraped.metrics.refresh()
    assert scraped.value("store_up") == 0
    assert [line["event"] for line in logs] == ["store_figures_missing"]


async def test_a_store_that_hangs(scraped: Scraped, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who scrapes gets an answer in time; that the store gave none is what it says."""

    async def hang(*_: Any) -> list[Any]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(store, "commands", hang)
    monkeypatch.setattr(store_metrics, "_PATIENCE", 0.01)
    await scraped.metrics.refresh()
    assert scraped.value("store_up") == 0
