"""A round of retention: over all streams, logged, counted, and stopped by nothing that one of them does."""

import asyncio
import time
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs
from support.filling import CUSTOMERS, FINANCIAL, put_dead, put_group, put_quarantined

from config.settings import RetentionSettings
from router.events.catalogue import Catalogue
from router.store.client import Client, Store
from workers.metrics import WorkerMetrics
from workers.retention.round import Retention

SUPPLIERS, UNLISTED = f"{FINANCIAL}/supplier_changed", f"{FINANCIAL}/unlisted"
DAY = 86_400


class Bench:
    """Rounds over a store, and entries of any age in it."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self.store = store
        self.client: Any = store.client
        self.keys = store.keys
        self.catalogue = catalogue
        self.registry = CollectorRegistry()
        self.metrics = WorkerMetrics(self.registry)
        self.stopping = asyncio.Event()
        self.log: list[Any] = []

    async def round(self, **options: Any) -> None:
        """Do a round with these settings; keep what it logs."""
        settings = RetentionSettings(**options)
        with capture_logs() as self.log:
            await Retention(self.store, self.catalogue, settings, self.metrics, self.stopping).round()

    async def add(self, stream: str, days_ago: float, number: int = 1) -> None:
        """Add events of this age."""
        millis = int((time.time() - days_ago * DAY) * 1000)
        pipeline = self.client.pipeline(transaction=False)
        for index in range(number):
            pipeline.xadd(self.keys.events(stream), {"raw": "x"}, id=f"{millis}-{index}")
        await pipeline.execute()

    async def length(self, stream: str) -> int:
        """Return how many events a stream holds."""
        return int(await self.client.xlen(self.keys.events(stream)))

    async def dead(self, stream: str = CUSTOMERS, subscription: str = "sync") -> list[str]:
        """Return the names of the dead letters, oldest first."""
        entries = await self.client.xrange(self.keys.dead(stream, subscription))
        return [fields[b"id"].decode() for _, fields in entries]

    def value(self, name: str, **labels: str) -> float | None:
        """Return a metric."""
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def bench(store: Store, catalogue: Catalogue) -> Bench:
    """Return a bench."""
    return Bench(store, catalogue)


def id_of(days_ago: float) -> str:
    """Return an entry id of this age."""
    return f"{int((time.time() - days_ago * DAY) * 1000)}-0"


async def test_every_stream_of_the_catalogue_is_trimmed(bench: Bench) -> None:
    """All streams are looked at, the unlisted ones too, whoever subscribes; by default events stay for seven days."""
    streams = bench.catalogue.streams()
    for stream in streams:
        await bench.add(stream, days_ago=8, number=2)
        await bench.add(stream, days_ago=6)
    await bench.round()
    assert {await bench.length(stream) for stream in streams} == {1}
    assert bench.log == [
        {"event": "events_trimmed", "events": 2 * len(streams), "streams": len(streams), "log_level": "info"}
    ]
    assert bench.value("event_router_events_trimmed_total", stream=UNLISTED) == 2


async def test_a_round_goes_on_until_nothing_is_left(bench: Bench) -> None:
    """A long backlog on one stream takes many steps, and the others do not take part in them."""
    await bench.add(CUSTOMERS, days_ago=8, number=1700)
    await bench.add(SUPPLIERS, days_ago=8)
    await bench.round()
    assert (await bench.length(CUSTOMERS), await bench.length(SUPPLIERS)) == (0, 0)
    assert bench.value("event_router_events_trimmed_total", stream=CUSTOMERS) == 1700


async def test_a_quiet_round_is_one_round_trip(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is to do, one call a stream is all, in one round trip."""
    trips: list[int] = []
    run = bench.store.run

    async def counted(calls: Any) -> list[Any]:
        trips.append(len(calls))
        return await run(calls)

    await bench.add(CUSTOMERS, days_ago=1)
    await bench.round()  # from now on the server knows the script
    monkeypatch.setattr(bench.store, "run", counted)
    await bench.round()
    assert trips == [len(bench.catalogue.streams())]
    assert bench.log == []


async def test_two_at_once(bench: Bench) -> None:
    """Two rounds at the same time remove what there is to remove, once, and nothing else."""
    await bench.add(CUSTOMERS, days_ago=8, number=2000)
    await put_group(bench.store, "sync")
    for _ in range(12):
        key = bench.keys.events(CUSTOMERS)
        await bench.client.execute_command(
            "XREADGROUP", "GROUP", "sync", "c", "COUNT", 100, "NOACK", "STREAMS", key, ">"
        )
    await asyncio.gather(*(bench.round() for _ in range(3)))
    assert await bench.length(CUSTOMERS) == 800
    assert bench.value("event_router_events_trimmed_total", stream=CUSTOMERS) == 1200


async def test_dead_letters_and_quarantine_stay_unless_told_otherwise(bench: Bench) -> None:
    """By default nothing that was not handled is removed, however old and however much of it there is."""
    await put_group(bench.store, "sync")
    for number in range(20):
        await put_dead(bench.store, f"e{number}", entry_id=f"{number + 1}-0")
        await put_quarantined(bench.store, b"?")
    await bench.client.xadd(bench.keys.quarantine(FINANCIAL), {"raw": "x"})
    await bench.round(events=0.001)
    assert len(await bench.dead()) == 20
    assert await bench.client.xlen(bench.keys.quarantine(FINANCIAL)) == 21


async def test_dead_letters_by_age(bench: Bench) -> None:
    """Those that are too old go, of every subscription, with a warning for each pile and in the metrics."""
    for name in ("sync", "audit"):
        await put_group(bench.store, name)
        await put_dead(bench.store, "old", subscription=name, entry_id=id_of(30))
        await put_dead(bench.store, "newer", subscription=name, entry_id=id_of(28))
        await put_dead(bench.store, "young", subscription=name, entry_id=id_of(26))
    await bench.round(dead_letters_age=27 * DAY)
    assert await bench.dead() == await bench.dead(subscription="audit") == ["young"]
    assert [line for line in bench.log if line["log_level"] == "warning"] == [
        {
            "event": "dead_letters_discarded",
            "log_level": "warning",
            "subscription": name,
            "stream": CUSTOMERS,
            "number": 2,
        }
        for name in ("audit", "sync")
    ]
    labels = {"subscription": "sync", "stream": CUSTOMERS}
    assert bench.value("event_router_dead_letters_discarded_total", **labels) == 2
    await bench.round(dead_letters_age=27 * DAY)
    assert bench.log == []


async def test_dead_letters_by_number(bench: Bench) -> None:
    """The newest stay, so many of each subscription and stream, though it takes more than one call."""
    await put_group(bench.store, "sync", CUSTOMERS, SUPPLIERS)
    for number in range(230):
        await put_dead(bench.store, f"e{number}", fields={"raw": "x"})
    await put_dead(bench.store, "other", stream=SUPPLIERS)
    await bench.round(dead_letters_count=3)
    assert await bench.dead() == ["e227", "e228", "e229"]
    assert await bench.dead(SUPPLIERS) == ["other"]
    assert bench.log[-1]["number"] == 227


async def test_dead_letters_by_age_and_number(bench: Bench) -> None:
    """Both limits hold."""
    await put_group(bench.store, "sync")
    for days in (9, 8, 3, 2, 1):
        await put_dead(bench.store, f"{days}", entry_id=id_of(days))
    await bench.round(dead_letters_age=7 * DAY, dead_letters_count=4)
    assert await bench.dead() == ["3", "2", "1"]
    await bench.round(dead_letters_age=7 * DAY, dead_letters_count=2)
    assert await bench.dead() == ["2", "1"]


async def test_quarantine(bench: Bench) -> None:
    """The quarantine has limits of its own, for each publisher, and what goes is told."""
    other = "visma-net-journal-transaction"
    for number in range(5):
        await put_quarantined(bench.store, b"%d" % number)
        await put_quarantined(bench.store, b"%d" % number, publisher=other)
    await bench.client.delete(bench.keys.quarantine(other))
    await bench.client.xadd(bench.keys.quarantine(other), {"raw": "x"}, id=id_of(2))
    await bench.round(quarantine_age=DAY, quarantine_count=3)
    left = await bench.client.xrange(bench.keys.quarantine(FINANCIAL))
    assert [fields[b"raw"] for _, fields in left] == [b"2", b"3", b"4"]
    assert await bench.client.xlen(bench.keys.quarantine(other)) == 0
    told = [(line["publisher"], line["number"]) for line in bench.log if line["event"] == "quarantine_discarded"]
    assert sorted(told) == [(FINANCIAL, 2), (other, 1)]
    assert bench.value("event_router_quarantine_discarded_total", publisher=FINANCIAL) == 2


async def test_a_stream_of_the_wrong_type_stops_no_other(bench: Bench) -> None:
    """What the server refuses for one stream is logged once with its key; everything else is done."""
    await bench.client.set(bench.keys.events(CUSTOMERS), "no stream")
    await bench.client.set(bench.keys.quarantine("visma-net-journal-transaction"), "no stream")
    await bench.add(SUPPLIERS, days_ago=8)
    await put_group(bench.store, "sync", UNLISTED)
    await put_dead(bench.store, "old", stream=UNLISTED, entry_id="1-0")
    await put_quarantined(bench.store, b"?")
    await put_quarantined(bench.store, b"!")
    await bench.round(dead_letters_age=DAY, quarantine_count=1)
    assert await bench.length(SUPPLIERS) == 0
    assert await bench.dead(UNLISTED) == []
    assert await bench.client.xlen(bench.keys.quarantine(FINANCIAL)) == 1
    refused = [line for line in bench.log if line["event"] == "retention_refused"]
    assert [line["keys"] for line in refused] == [
        [bench.keys.events(CUSTOMERS)],
        [bench.keys.quarantine("visma-net-journal-transaction")],
    ]
    assert "WRONGTYPE" in refused[0]["error"]


@pytest.mark.real
async def test_a_command_that_is_not_permitted_stops_no_other(
    real_store: Store, server_url: str, catalogue: Catalogue
) -> None:
    """A user of the server who may not touch one stream trims all the others."""
    bench, name = Bench(real_store, catalogue), real_store.keys.prefix
    await bench.add(CUSTOMERS, days_ago=8)
    await bench.add(SUPPLIERS, days_ago=8)
    await bench.client.execute_command("ACL", "SETUSER", name, "on", ">x", "+@all", f"~{name}:*supplier*")

    def connector(*, timeout: float, connections: int) -> Client:
        return Redis.from_url(server_url, username=name, password="x", legacy_responses=False)

    limited = Store(connector, real_store.keys)
    try:
        bench.store = limited
        await bench.round()
    finally:
        await limited.aclose()
        await bench.client.execute_command("ACL", "DELUSER", name)
    assert (await bench.length(CUSTOMERS), await bench.length(SUPPLIERS)) == (1, 0)
    assert {line["event"] for line in bench.log} == {"retention_refused", "events_trimmed"}


async def test_a_store_that_is_away_is_one_line(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """When nothing can be reached, the log says so once for all streams."""

    async def away(calls: Any) -> list[Any]:
        return [RedisConnectionError("away")] * len(calls)

    monkeypatch.setattr(bench.store, "run", away)
    monkeypatch.setattr(bench.store, "commands", away)
    await bench.round(dead_letters_age=DAY)
    (line,) = bench.log
    assert (line["event"], line["number"]) == ("retention_refused", len(bench.catalogue.streams()))
    assert len(line["keys"]) < 10


async def test_what_was_removed_before_the_store_went_away_is_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing goes silently, though the round ends in the middle."""
    await put_group(bench.store, "sync")
    for number in range(150):
        await put_dead(bench.store, f"e{number}", fields={"raw": "x"})
    await bench.round(dead_letters_count=150)  # from now on the server knows the scripts
    run, rounds = bench.store.run, []

    async def away(calls: Any) -> list[Any]:
        rounds.append(len(calls))
        return await run(calls) if len(rounds) < 3 else [RedisConnectionError("away")] * len(calls)

    monkeypatch.setattr(bench.store, "run", away)
    await bench.round(dead_letters_count=1)
    assert len(await bench.dead()) == 50
    assert [line["number"] for line in bench.log if line["event"] == "dead_letters_discarded"] == [100]


async def test_a_stop_ends_the_round(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round that would still take long ends after the step under way."""
    await bench.add(CUSTOMERS, days_ago=8, number=1700)
    run = bench.store.run

    async def stopped(calls: Any) -> list[Any]:
        bench.stopping.set()
        return await run(calls)

    monkeypatch.setattr(bench.store, "run", stopped)
    await bench.round(dead_letters_age=1, quarantine_age=1)
    assert 0 < await bench.length(CUSTOMERS) < 1700
    assert [line["event"] for line in bench.log] == ["events_trimmed"]


async def test_a_stream_of_young_events_is_left_alone_meanwhile(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no event is old enough for is not asked again before one is, or for an hour; then it is trimmed."""
    now, asked = 1000.0, list[int]()
    settings = RetentionSettings(events=DAY)
    one = Retention(bench.store, bench.catalogue, settings, bench.metrics, bench.stopping, monotonic=lambda: now)
    run = Store.run

    async def counted(store: Store, calls: Any) -> Any:
        asked.append(len(calls))
        return await run(store, calls)

    await bench.add(CUSTOMERS, days_ago=1 - 60 / DAY)
    await bench.add(SUPPLIERS, days_ago=2)
    await one.round()
    assert await bench.length(SUPPLIERS) == 0
    monkeypatch.setattr(Store, "run", counted)
    await one.round()
    assert sum(asked) == 0
    await bench.client.delete(bench.keys.events(CUSTOMERS))
    await bench.add(CUSTOMERS, days_ago=2)
    now += 61
    await one.round()
    assert await bench.length(CUSTOMERS) == 0
    now += 3601
    asked.clear()
    await one.round()
    assert sum(asked) > 50
