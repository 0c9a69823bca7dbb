"""A consumer group that a program in another language made counts as a subscription."""

import time
from typing import Any

from support.cli import Cli
from support.filling import CUSTOMERS, put_events

from router.store import scripts
from router.store.client import Store

GROUP = "crm-go"
DAY = 86_400_000


async def _read_one_of_three(store: Store) -> None:
    await put_events(store, "e0", "e1", "e2")
    client: Any = store.client
    await client.xgroup_create(store.keys.events(CUSTOMERS), GROUP, "0")
    await client.xreadgroup(GROUP, "one", {store.keys.events(CUSTOMERS): ">"}, count=1)


def _ways(cli: Cli) -> Any:
    [row] = [row for row in cli.json("streams") if row["stream"] == CUSTOMERS]
    return row["subscriptions"]


def test_it_shows_with_its_lag_and_what_it_has_in_hand(cli: Cli) -> None:
    """Its group alone says how far it is."""
    cli.fill(_read_one_of_three)
    [way] = _ways(cli)
    assert (way["name"], way["lag"], way["pending"]) == (GROUP, 2, 1)
    [_, row] = cli.ok("subscriptions", "list").splitlines()
    assert row.split() == [GROUP, "1", "2", "1", "0", "0", "-"]
    [_, *rows] = cli.ok("top", "--once").splitlines()
    assert any(GROUP in row and "other program" in row for row in rows)


def test_retention_keeps_what_it_has_not_acknowledged(cli: Cli) -> None:
    """Old entries go as far as it acknowledged them, however old they are."""

    async def rounds(store: Store) -> list[int]:
        key, client, removed = store.keys.events(CUSTOMERS), store.client, []
        for index in range(3):
            await client.xadd(key, {"id": f"e{index}"}, id=f"{int(time.time() * 1000) - 30 * DAY}-{index}")
        await client.xgroup_create(key, GROUP, "0")
        removed.append(await store.call(scripts.trim(key, store.keys.archived(CUSTOMERS), DAY)))
        await client.xreadgroup(GROUP, "one", {key: ">"})
        removed.append(await store.call(scripts.trim(key, store.keys.archived(CUSTOMERS), DAY)))
        ids = [entry_id for entry_id, _ in await client.xrange(key)]
        await client.xack(key, GROUP, *ids[:2])
        removed.append(await store.call(scripts.trim(key, store.keys.archived(CUSTOMERS), DAY)))
        await client.xack(key, GROUP, *ids)
        removed.append(await store.call(scripts.trim(key, store.keys.archived(CUSTOMERS), DAY)))
        return removed

    assert cli.fill(rounds) == [0, 0, 2, 1]


def test_it_is_removed_like_a_subscription(cli: Cli) -> None:
    """`subscriptions remove` takes its group from the stream, with what it held, and no event."""
    cli.fill(_read_one_of_three)
    assert cli.json("subscriptions", "remove", GROUP, "--yes")
    assert _ways(cli) == []
    assert [row["length"] for row in cli.json("streams") if row["stream"] == CUSTOMERS] == [3]


def test_a_replay_to_it_is_refused(cli: Cli) -> None:
    """It reads no inbox, so what is replayed would reach nobody: nothing is given, and the message says what to do."""
    cli.fill(_read_one_of_three)
    said = cli.fails(2, "events", "replay", "--to", GROUP, "--since", "1h", "--yes")
    assert f"no worker reads the inbox of {GROUP}" in said
    assert "docs/streams.md" in said
    [way] = _ways(cli)
    assert (way["lag"], way["pending"]) == (2, 1)
