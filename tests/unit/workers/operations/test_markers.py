"""From when on the markers of `once` are needed, so that no sweep makes an effect possible again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.filling import CUSTOMERS, FINANCIAL, put_group
from support.keyed import KeyedBench

from config.settings import Settings
from router.events.catalogue import Catalogue
from router.store.client import Store
from workers.operations.operations import Operations

DAY = timedelta(days=1)
OTHER = f"{FINANCIAL}/supplier_changed"


def entry(at: datetime) -> str:
    """Return the id of an entry of this moment."""
    return f"{int(at.timestamp() * 1000)}-0"


async def needed(store: Store, catalogue: Catalogue, days: float = 30, **settings: Any) -> dict[str, timedelta]:
    """Return for how long markers are needed by subscription, to the hour."""
    now = datetime.now(UTC)
    found = await Operations(store, catalogue, Settings(**settings)).markers_needed(days)
    hour = timedelta(hours=1)
    return {name: round((now - at) / hour) * hour for name, at in found.items()}


async def test_markers_are_kept_for_some_days_and_a_day_for_clocks(store: Store, catalogue: Catalogue) -> None:
    """Where nothing is left, the days count that are asked for, and no subscription that does not exist is named."""
    assert await needed(store, catalogue) == {}
    await put_group(store, "sync")
    assert await needed(store, catalogue, 60) == {"sync": 61 * DAY}


async def test_no_fewer_days_than_an_event_is_kept_or_remembered(store: Store, catalogue: Catalogue) -> None:
    """Retention and the deduplication windows, of which the longest, are a floor."""
    await put_group(store, "sync")
    assert await needed(store, catalogue, 1) == {"sync": 8 * DAY}
    assert await needed(store, catalogue, 1, retention={"events": 20 * 86_400}) == {"sync": 21 * DAY}
    windows = {"visma_net_financial": 40 * 86_400}
    assert await needed(store, catalogue, 1, dedup_windows=windows) == {"sync": 41 * DAY}


@pytest.mark.parametrize("where", ["stream", "inbox", "retries"])
async def test_what_may_come_again_keeps_its_markers(store: Store, catalogue: Catalogue, where: str) -> None:
    """An event that is still somewhere keeps the markers since it came, however often it was moved since."""
    came, now = datetime.now(UTC) - 400 * DAY, entry(datetime.now(UTC))
    for name in ("sync", "audit"):
        await put_group(store, name)
    await put_group(store, "other", OTHER)
    place, id_ = {
        "stream": (store.keys.events(CUSTOMERS), entry(came)),
        "inbox": (store.keys.inbox(CUSTOMERS, "sync"), now),
        "retries": (store.keys.parked(CUSTOMERS, "sync"), now),
    }[where]
    await store.client.xadd(place, {"id": "a", "at": "1", "raw": "{}", "order": entry(came)}, id=id_)
    both = {"sync": 401 * DAY, "audit": (401 if where == "stream" else 31) * DAY}
    assert await needed(store, catalogue) == {**both, "other": 31 * DAY}


async def test_what_is_in_line_keeps_its_markers(store: Store, catalogue: Catalogue) -> None:
    """So does an event that waits in a line, whichever page of them it is on."""
    await put_group(store, "sync")
    bench = KeyedBench(store)
    await bench.bring(*(f"e{number}" for number in range(20)))
    first = datetime.fromtimestamp(1_760_000_000, UTC)
    hour = timedelta(hours=1)
    found = await needed(store, catalogue, 1)
    assert abs(found["sync"] - (datetime.now(UTC) - first) - DAY) <= hour
