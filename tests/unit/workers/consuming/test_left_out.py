"""Globs that were narrowed while the group still holds something on the streams that they leave out."""

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from support.filling import CUSTOMERS, FINANCIAL, put_events, put_group
from support.waiting import eventually

import workers.consuming.left_out
from config.settings import WorkerSettings
from router.events.catalogue import Catalogue
from router.store.client import Store
from workers import Event, Subscription
from workers.consuming.consumer import Consumer
from workers.consuming.left_out import told_left_out
from workers.metrics import WorkerMetrics
from workers.state.overview import SubscriptionOverview

CREATED = f"{FINANCIAL}/customer_created"


def consumer_of(store: Store, catalogue: Catalogue, *events: str) -> Consumer:
    """Return a consumer of `sync` with these globs."""
    subscription = Subscription("sync", events=events)

    @subscription.handler
    async def handle(event: Event) -> None:
        """Do nothing."""

    settings = WorkerSettings(block=0.1, shutdown_timeout=5)
    return Consumer(subscription, "w1", store, catalogue, settings, WorkerMetrics(CollectorRegistry()))


async def narrowed(store: Store) -> None:
    """Leave one event pending, one waiting, one in the inbox and one scheduled on a stream that is left out now."""
    keys = store.keys
    await put_group(store, "sync", CUSTOMERS, CREATED)
    await put_events(store, "pending", "waiting", stream=CREATED)
    await store.commands([("XREADGROUP", "GROUP", "sync", "gone", "COUNT", 1, "STREAMS", keys.events(CREATED), ">")])
    await store.client.xadd(keys.inbox(CREATED, "sync"), {"id": "again"})
    await store.client.zadd(keys.due(CREATED, "sync"), {"1-1": 9e14})


def said(logged: Any) -> list[Any]:
    """Return what was logged of it."""
    return [line for line in logged if line["event"] == "streams_left_out"]


async def test_what_is_left_behind_is_said_at_the_start(store: Store, catalogue: Catalogue) -> None:
    """A start logs the streams and how much is left there, once, with what to do; `/readyz` warns and stays ready."""
    await narrowed(store)
    consumer = consumer_of(store, catalogue, CUSTOMERS)
    with capture_logs() as logged:
        await consumer.start()
        await eventually(lambda: consumer.warning)
    await consumer.stop()
    [line] = said(logged)
    assert line["streams"] == [CREATED]
    assert (line["waiting"], line["inbox"], line["scheduled"]) == (2, 1, 1)
    assert "subscriptions remove sync --events" in line["advice"]
    assert "4 unfinished" in consumer.warning
    assert f"{CREATED} 4" in consumer.warning


async def test_what_was_never_read_is_not_left_behind(store: Store, catalogue: Catalogue) -> None:
    """Streams of others, and those that the globs name, are no news; nor is a group with nothing to do."""
    await put_group(store, "audit", CREATED)
    await put_group(store, "sync", CREATED)
    await put_events(store, "one")
    consumer = consumer_of(store, catalogue, CUSTOMERS)
    with capture_logs() as logged:
        await consumer.start()
        await eventually(lambda: not consumer.context.in_hand)
        await consumer.stop()
    assert said(logged) == []
    assert consumer.warning == ""


async def test_it_is_looked_at_again(store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes later to a stream left out is found, and once the group is gone nothing is said any more."""
    monkeypatch.setattr(workers.consuming.left_out, "_AGAIN", 0.01)
    await put_group(store, "sync", CREATED)
    consumer = consumer_of(store, catalogue, CUSTOMERS)
    await consumer.start()
    assert consumer.warning == ""
    await put_events(store, "later", stream=CREATED)
    await eventually(lambda: "1 unfinished" in consumer.warning)
    await store.client.xgroup_destroy(store.keys.events(CREATED), "sync")
    await eventually(lambda: consumer.warning == "")
    await consumer.stop()


async def test_widened_again_it_is_all_handled(store: Store, catalogue: Catalogue) -> None:
    """Globs that name the streams again are all that is needed."""
    await put_group(store, "sync", CUSTOMERS, CREATED)
    await put_events(store, "one", stream=CREATED)
    consumer = consumer_of(store, catalogue, f"{FINANCIAL}/customer_*")
    await consumer.start()

    async def lag() -> int:
        groups = await store.client.xinfo_groups(store.keys.events(CREATED))
        return int(groups[0]["lag"] or 0) + int(groups[0]["pending"])

    await eventually(lambda: asyncio.ensure_future(_is_zero(lag)))
    assert consumer.warning == ""
    await consumer.stop()


async def _is_zero(number: Any) -> bool:
    return await number() == 0


def test_many_streams_are_not_all_named() -> None:
    """The text stays short, whatever was left out."""
    text = told_left_out(
        "sync", [SubscriptionOverview("sync", 1, 0, 0, 0, stream=f"p/{number}") for number in range(60)]
    )
    assert text.startswith("60 unfinished")
    assert "and 55 more" in text
    assert len(text) < 400
