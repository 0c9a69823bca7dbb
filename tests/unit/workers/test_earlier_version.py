"""What an earlier version stored or spooled, without the field `event`, is handled, replayed and shown."""

import shutil
from pathlib import Path
from random import Random
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from support.cli import Cli
from support.earlier import SPOOL, load_earlier
from support.stores import fake_store
from support.waiting import eventually

from config.settings import WorkerSettings
from router.events.catalogue import Catalogue
from router.intake.drain import Drain
from router.intake.spool import Spool
from router.intake.writer import Batch
from router.store.client import Store
from router.store.keys import Keys
from workers import Event, Subscription
from workers.consuming.consumer import Consumer
from workers.metrics import WorkerMetrics

SLUG = "visma-net-financial"
CUSTOMERS = f"{SLUG}/customer_changed"
UNLISTED = f"{SLUG}/unlisted"
WINDOW = 60_000


async def handled(store: Store, catalogue: Catalogue, name: str, number: int) -> dict[str, Event]:
    """Let a worker work until it has handled so many events of the two streams; return them by their ids."""
    subscription, events = Subscription(name, events=[CUSTOMERS, UNLISTED]), {}

    @subscription.handler
    async def handle(event: Event) -> None:
        assert event.id not in events
        events[event.id] = event

    settings = WorkerSettings(lease=0.3, block=0.1, sweep_interval=0.3)
    consumer = Consumer(subscription, "c1", store, catalogue, settings, WorkerMetrics(CollectorRegistry()))
    await consumer.start()
    try:
        await eventually(lambda: len(events) == number)
    finally:
        await consumer.stop()
    return events


async def test_its_work_is_finished(store: Store, catalogue: Catalogue) -> None:
    """What waits, was held by a worker that died, is scheduled or replayed is handled once, and nothing else is."""
    await load_earlier(store)
    events = await handled(store, catalogue, "sync", 5)
    assert set(events) == {"new-1", "hang-1", "late-1", "fail-1", "dead-2"}
    for event in events.values():
        assert (event.resource, event.company_id, event.stream) == ("customer/55555", "5100001", CUSTOMERS)
        assert event.occurred_at is not None
    unhinted = {name for name, event in events.items() if not event.hints}
    assert unhinted == {"new-1", "hang-1"}
    assert events["dead-2"].hints == events["late-1"].hints == {"orderref": "17"}
    assert events["new-1"].extra == {"note": "later"}
    keys, client = store.keys, store.client
    for key in (keys.inbox(CUSTOMERS, "sync"), keys.parked(CUSTOMERS, "sync")):
        assert await client.xlen(key) == 0
    assert await client.xlen(keys.dead(CUSTOMERS, "sync")) == 1


async def test_another_subscription_gets_what_it_was_not_given(store: Store, catalogue: Catalogue) -> None:
    """A group of the earlier version goes on where it was; a new one begins at the beginning."""
    await load_earlier(store)
    assert set(await handled(store, catalogue, "audit", 1)) == {"new-1"}
    assert len(await handled(store, catalogue, "anew", 10)) == 10


async def test_its_spool_is_drained_and_read(catalogue: Catalogue, tmp_path: Path) -> None:
    """Entries that the earlier version spooled go to the store, and are handled, quarantined ones too."""
    shutil.copy(SPOOL, tmp_path / "0.db")
    async with fake_store(Keys()) as store:
        spool = Spool.open(tmp_path, max_bytes=1_000_000)
        try:
            assert spool.entries == 3
            assert await Drain(spool, Batch(store, window=WINDOW), Random(1)).once()
            assert spool.entries == 0
        finally:
            await spool.close()
        events = await handled(store, catalogue, "sync", 2)
        assert {name: event.type for name, event in events.items()} == {
            "spooled-1": "customer_changed",
            "spooled-2": "unlisted",
        }
        assert events["spooled-2"].hints == {"orderref": "18"}
        assert await store.client.xlen(store.keys.quarantine(SLUG)) == 1


def test_its_events_are_shown(cli: Cli) -> None:
    """`events` and `streams` show what they showed, by the model's names."""
    cli.fill(load_earlier)
    events = {event["id"]: event for event in cli.json("events", "list", "--limit", "50")}
    assert len(events) == 10
    assert (events["done-1"]["resource"], events["done-1"]["hints"]) == ("customer/55555", {"orderref": "***"})
    assert events["dead-3"]["type"] == "unlisted"
    shown = cli.json("events", "show", "dead-1")
    places = {place["subscription"]: place["state"] for place in shown["subscriptions"]}
    assert places == {"audit": "done", "sync": "dead"}


def test_its_dead_letters_are_shown_and_replayed(cli: Cli) -> None:
    """`dlq` shows why they died, and gives them once more."""
    cli.fill(load_earlier)
    letters = {letter["id"]: letter for letter in cli.json("dlq", "list")}
    assert {name: letter["error"] for name, letter in letters.items()} == dict.fromkeys(
        ["dead-1", "dead-3"], "DeadLetter"
    )
    assert letters["dead-1"]["resource"] == "customer/55555"
    cli.ok("dlq", "replay", "--subscription", "sync", "--yes")
    assert cli.json("dlq", "list") == []

    async def work(store: Store) -> set[str]:
        return set(await handled(store, Catalogue.load(), "sync", 7))

    assert cli.fill(work) >= {"dead-1", "dead-3"}


def test_its_quarantine_is_shown_and_tried_again(cli: Cli) -> None:
    """`quarantine` shows the bodies as they came; what is no event today stays."""
    cli.fill(load_earlier)
    bodies = cli.json("quarantine", "list")
    assert sorted(body["reason"] for body in bodies) == ["no event name", "not a JSON object", "not valid UTF-8"]
    retried: Any = cli.run("quarantine", "retry", "--yes")
    assert "3" in retried.output
    assert len(cli.json("quarantine", "list")) == 3


@pytest.mark.parametrize("event", ["{", '{"id":"x"}', "\x00", "[" * 5000, '{"extra":{"a":1}}'])
async def test_an_event_edited_manually_stops_no_worker(store: Store, catalogue: Catalogue, event: str) -> None:
    """Whatever is written into `event` by hand, the worker handles the entry by its `raw`, and those behind it."""
    key = store.keys.events(CUSTOMERS)
    raw = '{"event":"customer_changed","resourceUri":"v1/customer/1"}'
    await store.client.xadd(key, {"id": "a", "at": "1763828400123", "event": event, "raw": raw})
    await store.client.xadd(key, {"id": "b", "at": "1763828400123", "raw": raw})
    events = await handled(store, catalogue, "sync", 2)
    assert {name: found.resource for name, found in events.items()} == dict.fromkeys("ab", "customer/1")
