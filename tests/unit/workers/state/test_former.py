"""Streams that have left the catalogue: what remembers them, and what still sees to them."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from support.filling import CUSTOMERS, FINANCIAL, put_dead, put_group, put_quarantined

from config.settings import RetentionSettings
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import StoreRefused, StoreUnavailable
from workers.metrics import WorkerMetrics
from workers.retention.round import Retention
from workers.state.former import all_streams, former_streams, note_streams


@pytest.fixture
def smaller(catalogue: Catalogue) -> Catalogue:
    """Return the catalogue after the operator has taken a publisher out."""
    return Catalogue.of(publisher for slug, publisher in catalogue.publishers.items() if slug != FINANCIAL)


async def a_round(store: Store, catalogue: Catalogue, **options: Any) -> None:
    """Do a round of retention."""
    metrics = WorkerMetrics(CollectorRegistry())
    await Retention(store, catalogue, RetentionSettings(**options), metrics, asyncio.Event()).round()


async def test_what_has_left_the_catalogue_is_known(store: Store, catalogue: Catalogue, smaller: Catalogue) -> None:
    """A round writes down its streams; those that a later catalogue lacks are former ones, with the time."""
    assert await former_streams(store, catalogue) == {}
    await a_round(store, catalogue)
    assert await former_streams(store, catalogue) == {}
    former = await former_streams(store, smaller)
    assert set(former) == set(catalogue.streams()) - set(smaller.streams())
    assert datetime.now(UTC) - former[CUSTOMERS] < timedelta(seconds=60)
    assert set(await all_streams(store, smaller)) == set(catalogue.streams())
    await a_round(store, smaller)
    assert (await former_streams(store, smaller))[CUSTOMERS] == former[CUSTOMERS]


async def test_what_comes_back_is_no_longer_former(store: Store, catalogue: Catalogue, smaller: Catalogue) -> None:
    """A publisher whose file was put back is like any other."""
    await note_streams(store, catalogue)
    assert CUSTOMERS in await former_streams(store, smaller)
    assert await former_streams(store, catalogue) == {}


async def test_former_streams_are_tidied_up_like_others(store: Store, catalogue: Catalogue, smaller: Catalogue) -> None:
    """Old events that are finished go, dead letters and the quarantine as the settings say; the unfinished stays."""
    suppliers, keys = f"{FINANCIAL}/supplier_changed", store.keys
    await a_round(store, catalogue)
    for stream in (CUSTOMERS, suppliers):
        await store.client.xadd(keys.events(stream), {"raw": "x"}, id="1-0")
    await put_group(store, "sync", suppliers)
    for number in range(2):
        await put_dead(store, f"d{number}", stream=suppliers)
        await put_quarantined(store, b"{" * (number + 1))
    await a_round(store, smaller, dead_letters_count=1, quarantine_count=1)
    assert await store.client.xlen(keys.events(CUSTOMERS)) == 0
    assert await store.client.xlen(keys.events(suppliers)) == 1
    assert await store.client.xlen(keys.dead(suppliers, "sync")) == 1
    assert await store.client.xlen(keys.quarantine(FINANCIAL)) == 1


async def test_a_round_does_without_what_it_cannot_write_down(
    store: Store, smaller: Catalogue, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the server refuses the note (it is full), former streams are seen to all the same, and the log says it."""
    await a_round(store, catalogue)
    await store.client.xadd(store.keys.events(CUSTOMERS), {"raw": "x"}, id="1-0")
    commands = store.commands

    async def full(asked: Any) -> list[Any]:
        return [StoreRefused("OOM command not allowed")] if asked[0][0] == "ZADD" else await commands(asked)

    monkeypatch.setattr(store, "commands", full)
    with pytest.raises(StoreUnavailable):
        await note_streams(store, catalogue)
    with capture_logs() as logged:
        await a_round(store, smaller)
    assert await store.client.xlen(store.keys.events(CUSTOMERS)) == 0
    assert [line["keys"] for line in logged if line["event"] == "retention_refused"] == [[store.keys.streams()]]
