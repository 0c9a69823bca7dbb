"""Watching dead letters as they come."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.cli import Cli
from support.filling import CUSTOMERS, FINANCIAL, put_dead, put_group
from support.processes import running_system
from support.servers import starting
from support.waiting import eventually

from router.events.catalogue import Catalogue
from router.store.client import Store, connect
from router.store.errors import StoreUnavailable
from router.store.keys import Keys
from workers.operations.dead_letters.letters import DeadLetters, Pile
from workers.operations.dead_letters.selector import Selector
from workers.operations.dead_letters.watch import watch

SUPPLIERS = f"{FINANCIAL}/supplier_changed"


class Watched:
    """What a watch has shown so far."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.said: list[bool] = []


@asynccontextmanager
async def watching(store: Store, catalogue: Catalogue, selector: Selector | None = None) -> AsyncIterator[Watched]:
    """Yield what a watch shows, which looks for new subscriptions all the time."""
    watched = Watched()
    letters = watch(
        store,
        DeadLetters(store, catalogue),
        selector or Selector(),
        lambda error: watched.said.append(error is None),
        discover=0.05,
    )

    async def follow() -> None:
        async with aclosing(letters) as found:  # type: ignore[type-var]
            async for letter in found:
                watched.ids.append(letter.event_id)

    task = asyncio.create_task(follow())
    try:
        yield watched
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _until_it_watches(store: Store, watched: Watched, name: str = "first", **where: Any) -> None:
    """Add dead letters until one is shown: from then on the watch has begun."""

    async def shown() -> bool:
        await put_dead(store, name, **where)
        return name in watched.ids

    await eventually(shown, interval=0.05)


async def test_new_ones_are_shown(store: Store, catalogue: Catalogue) -> None:
    """What dies is shown, of every stream, as it is selected; what was there before is not."""
    await put_group(store, "sync", CUSTOMERS, SUPPLIERS)
    await put_group(store, "audit", CUSTOMERS)
    await put_dead(store, "old")
    async with watching(store, catalogue, Selector(subscription="sync")) as watched:
        await _until_it_watches(store, watched)
        await put_dead(store, "other", subscription="audit")
        await put_dead(store, "a")
        await put_dead(store, "b", stream=SUPPLIERS)
        await eventually(lambda: {"a", "b"} <= set(watched.ids))
    assert {"old", "other"}.isdisjoint(watched.ids)


async def test_those_since_a_time_come_first(store: Store, catalogue: Catalogue) -> None:
    """With a time, what died from then on is shown before what is new."""
    await put_group(store, "sync")
    for name, entry_id in (("old", "1000-5"), ("on time", "2000-0"), ("later", "3000-1")):
        await put_dead(store, name, entry_id=entry_id)
    async with watching(store, catalogue, Selector(since=datetime.fromtimestamp(2, UTC))) as watched:
        await eventually(lambda: watched.ids == ["on time", "later"])


async def test_new_subscriptions_are_found(store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subscription that begins after the watch is watched as well, from its first dead letter on."""
    piles, looked = DeadLetters.piles, asyncio.Event()

    async def noted(letters: DeadLetters, selector: Selector) -> list[Pile]:
        found = await piles(letters, selector)
        looked.set()
        return found

    monkeypatch.setattr(DeadLetters, "piles", noted)
    async with watching(store, catalogue) as watched:
        await looked.wait()
        await put_dead(store, "a", subscription="late")
        await put_group(store, "late")
        await eventually(lambda: watched.ids == ["a"])


async def test_a_store_that_is_away_from_the_beginning(catalogue: Catalogue) -> None:
    """A watch that cannot begin says so."""
    store = connect("redis://127.0.0.1:1", Keys())
    with pytest.raises(StoreUnavailable):
        await anext(watch(store, DeadLetters(store, catalogue), Selector(), lambda _: None))
    await store.aclose()


@pytest.mark.real
async def test_a_store_that_comes_back(catalogue: Catalogue) -> None:
    """A server that dies is waited for, which is said once, and nothing that died meanwhile is missed or doubled."""
    with starting() as server:
        store = connect(server.url, Keys("watched"))
        try:
            await put_group(store, "sync")
            async with watching(store, catalogue) as watched:
                await _until_it_watches(store, watched)
                server.kill()
                await eventually(lambda: watched.said == [False])
                await asyncio.to_thread(server.start)
                await store.client.connection_pool.disconnect()  # those of before are of no use
                await put_dead(store, "meanwhile")
                await eventually(lambda: watched.said == [False, True])
                await eventually(lambda: watched.ids.count("meanwhile") == 1)
                await put_dead(store, "afterwards")
                await eventually(lambda: watched.ids[-1] == "afterwards")
                assert watched.ids.count("meanwhile") == 1
        finally:
            await store.aclose()


@pytest.mark.real
async def test_idle_is_quiet(real_store: Store, catalogue: Catalogue) -> None:
    """Where nothing dies one read is waiting, and nothing is asked again and again."""
    await put_group(real_store, "sync")
    letters = watch(real_store, DeadLetters(real_store, catalogue), Selector(), lambda _: None)
    waiting = asyncio.create_task(anext(letters))

    async def blocked() -> int:
        return int((await real_store.client.info("clients"))["blocked_clients"])

    await eventually(blocked)

    async def reads() -> int:
        counted = await real_store.client.info("commandstats")
        return int(counted.get("cmdstat_xread", {"calls": 0})["calls"])

    before = await reads()
    for _ in range(50):
        assert await blocked()
    assert await reads() == before
    await put_dead(real_store, "a")
    assert (await waiting).event_id == "a"
    await letters.aclose()  # type: ignore[attr-defined]


def test_command(cli: Cli) -> None:
    """A line for each, for people or of JSON; `--limit` ends it."""

    async def fill(store: Store) -> None:
        await put_group(store, "sync")
        await put_dead(store, "e1", entry_id="1750000000000-0", resource="customer/55")
        await put_dead(store, "e2", entry_id="1750000001000-0", fields={"history": "", "reason": "no\x1b[1mcompany"})

    cli.fill(fill)
    lines = cli.ok("dlq", "watch", "--since", "2025-06-15", "--limit", "2").splitlines()
    assert lines[0].split("  ")[:5] == [
        "2025-06-15T15:06:40.000Z",
        "e1",
        "customer_changed",
        "customer/55",
        "sync",
    ]
    assert lines[0].endswith("ValueError: no customer 3")
    assert lines[1].endswith("no\N{REPLACEMENT CHARACTER}[1mcompany")
    (line,) = cli.ok("dlq", "watch", "e2", "--since", "2025-06-15", "--limit", "1", "--json").splitlines()
    assert json.loads(line)["id"] == "e2"


@pytest.mark.real
async def test_ctrl_c_ends_it(tmp_path: Path, server_url: str) -> None:
    """Whoever has seen enough ends it without an error, and each line is there as soon as it is written."""
    keys = Keys("watch-" + tmp_path.name)
    store = connect(server_url, keys)
    await put_group(store, "sync")
    async with running_system(tmp_path, ROUTER_REDIS__URL=server_url, ROUTER_REDIS__PREFIX=keys.prefix) as system:
        process = await system.start("dlq", "watch", "--json")

        async def shown() -> bool:
            await put_dead(store, "a")
            return '"id": "a"' in system.logs()

        await eventually(shown, interval=0.2)
        process.send_signal(2)
        assert await asyncio.wait_for(process.wait(), 30) == 0
        assert "Traceback" not in system.logs()
    async for key in store.client.scan_iter(f"{keys.prefix}:*"):
        await store.client.delete(key)
    await store.aclose()
