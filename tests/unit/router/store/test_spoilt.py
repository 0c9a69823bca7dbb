"""What one key of another type, which only a hand can have made, takes from everybody who looks at the others."""

import asyncio
import json
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from support.cli import Cli
from support.filling import CUSTOMERS, FINANCIAL, put_dead, put_events, put_group, put_quarantined
from support.waiting import eventually

from config.settings import Settings
from router.console.watch import look
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.following import Following
from router.store.keys import Keys
from workers.operations.figures import figures
from workers.operations.operations import Operations
from workers.operations.store_metrics import StoreMetrics

SUPPLIERS = f"{FINANCIAL}/supplier_changed"

KEYS: dict[str, Callable[[Keys], str]] = {
    "events": lambda keys: keys.events(CUSTOMERS),
    "inbox": lambda keys: keys.inbox(CUSTOMERS, "sync"),
    "due": lambda keys: keys.due(CUSTOMERS, "sync"),
    "parked": lambda keys: keys.parked(CUSTOMERS, "sync"),
    "dead": lambda keys: keys.dead(CUSTOMERS, "sync"),
    "quarantine": lambda keys: keys.quarantine(FINANCIAL),
    "consumers": lambda keys: keys.consumers("sync"),
    "pause": lambda keys: keys.pause("sync"),
    "streams": lambda keys: keys.streams(),
    "audit": lambda keys: keys.audit(),
    "seen": lambda keys: keys.seen(CUSTOMERS, "c1"),
}

READING = [
    ("streams",),
    ("events", "list"),
    ("events", "show", "s1"),
    ("dlq", "list"),
    ("dlq", "stats"),
    ("dlq", "show", "dead-s1"),
    ("quarantine", "list"),
    ("subscriptions", "list"),
    ("audit",),
    ("top", "--once"),
]


async def fill(store: Store) -> None:
    """Put something everywhere: of customers, and of suppliers, which nothing happens to."""
    await put_group(store, "sync", CUSTOMERS, SUPPLIERS)
    await put_events(store, "c1")
    await put_events(store, "s1", stream=SUPPLIERS)
    await put_dead(store, "dead-c1")
    await put_dead(store, "dead-s1", stream=SUPPLIERS)
    await put_quarantined(store, b"{")


async def spoil(store: Store, name: str) -> None:
    """Make a list of a key."""
    key = KEYS[name](store.keys)
    await store.client.delete(key)
    await store.client.rpush(key, "by hand")


@pytest.mark.parametrize("name", KEYS)
def test_every_reading_command_shows_the_others(cli: Cli, name: str) -> None:
    """A key of another type is as good as empty: no command fails, and what is elsewhere is shown."""

    async def prepare(store: Store) -> None:
        await fill(store)
        await spoil(store, name)

    cli.fill(prepare)
    for command in READING:
        result = cli.run(*command, "--json")
        assert result.exit_code == 0, (command, result.stderr)
        json.loads(result.stdout)
    assert [found["id"] for found in json.loads(cli.run("dlq", "list", SUPPLIERS, "--json").stdout)] == ["dead-s1"]


@pytest.mark.parametrize("name", KEYS)
async def test_figures_of_the_others(store: Store, catalogue: Catalogue, name: str) -> None:
    """Metrics, `top` and the console go on: of what is spoilt they count nothing, of the others everything."""
    await fill(store)
    await spoil(store, name)
    registry = CollectorRegistry()
    metrics = StoreMetrics(store, catalogue, 15, registry)
    await metrics.refresh()
    told = generate_latest(registry).decode()
    assert "event_router_store_up 1.0" in told
    assert f'event_router_subscription_dead_events{{stream="{SUPPLIERS}",subscription="sync"}} 1.0' in told
    (row,) = (await figures(store, catalogue, 15)).rows
    assert row.total("dead") == (1 if name in {"dead", "events"} else 2)
    assert (await look(Operations(store, catalogue, Settings()))).died[store.keys.dead(SUPPLIERS, "sync")] == 1


async def test_figures_of_what_a_hand_wrote(store: Store, catalogue: Catalogue) -> None:
    """Names that are no text, times that no calendar has and a pause without end break no figure."""
    await fill(store)
    await store.client.zadd(store.keys.consumers("sync"), {b"\xff\xfe": float("inf")})
    await store.client.zadd(store.keys.streams(), {b"gone/\xff": float("inf"), "gone/before": float("-inf")})
    await store.client.xadd(store.keys.pause("sync"), {"verb": "pause", "by": b"\xff"})
    await store.client.pexpire(store.keys.pause("sync"), 2**52)
    registry = CollectorRegistry()
    metrics = StoreMetrics(store, catalogue, 15, registry)
    await metrics.refresh()
    assert 'event_router_subscription_workers{subscription="sync"} 1.0' in generate_latest(registry).decode()
    (row,) = (await figures(store, catalogue, 15)).rows
    assert row.pause is not None


@pytest.mark.real
async def test_streams_are_followed_beside_a_spoilt_one(real_store: Store) -> None:
    """Who follows many streams sees the new entries of the others, and those of the spoilt one once it is put right."""
    store = real_store
    keys = [store.keys.events(CUSTOMERS), store.keys.events(SUPPLIERS)]
    await store.client.set(keys[0], "no stream")
    said: list[BaseException | None] = []
    seen: list[bytes] = []
    following = Following(store, said.append, block=0.1)
    following.add(dict.fromkeys(keys, "0-0"))

    async def follow() -> None:
        async for _, (_, fields) in following.entries():
            seen.append(fields[b"id"])

    task = asyncio.create_task(follow())
    try:
        await put_events(store, "s1", stream=SUPPLIERS)
        await eventually(lambda: seen == [b"s1"])
        await store.client.delete(keys[0])
        await put_events(store, "c1")
        await eventually(lambda: seen == [b"s1", b"c1"])
        assert said == []
    finally:
        task.cancel()
        await asyncio.wait([task])
        await following.aclose()
