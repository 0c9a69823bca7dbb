"""Connections that the other end has given up while they were idle, or gives up in the middle of a reply."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis
from faults.proxy import Proxy
from support.servers import Server, starting
from support.stores import fresh_keys, real_store
from support.topologies import running_sentinels
from support.waiting import eventually

import router.store.connection_kinds
from router.intake.entry import Entry
from router.intake.writer import Batch
from router.store.client import Store, connect
from router.store.connection_kinds import ConnectionLost
from router.store.errors import StoreUnavailable
from router.store.read_connection import ReadConnection

pytestmark = pytest.mark.real

STREAM = "visma-net-financial/customer_changed"
DAY = 86_400_000  # milliseconds
LONG = 30.0  # seconds


def entry(store: Store, name: str) -> Entry:
    """Return an entry to append."""
    keys = store.keys
    return Entry(keys.events(STREAM), keys.seen(STREAM, name), ("id", name, "at", 1, "raw", b"{}"), 2)


async def fill_pool(store: Store, connections: int = 5) -> None:
    """Have so many connections idle in the pool."""
    pool: Any = store.client.connection_pool  # type: ignore[union-attr]
    taken = [await pool.get_connection() for _ in range(connections)]
    for connection in taken:
        await pool.release(connection)


async def none_is_left(server: Server) -> None:
    """Return once the server has closed every connection of ours but the one that asks."""

    def left() -> int:
        return sum("lib-name=redis-py" in line for line in server.ask("CLIENT", "LIST").splitlines())

    await eventually(lambda: left() <= 1)


async def none_of_a_node_is_left(host: str, port: int) -> None:
    """Return once a node of a Cluster has closed every connection of ours but the one that asks."""
    with redis.Redis(host, port) as asking:
        await eventually(lambda: sum("redis-py" in each.get("lib-name", "") for each in asking.client_list()) <= 1)


@asynccontextmanager
async def behind_proxy() -> AsyncIterator[tuple[Proxy, Store, Server]]:
    """Yield a store behind a proxy, and its server."""
    with starting() as server:
        async with Proxy("127.0.0.1", server.port) as proxy, real_store(proxy.url, fresh_keys()) as store:
            yield proxy, store, server


# Closed while idle


async def test_a_server_that_closes_idle_connections_is_never_seen_to() -> None:
    """With `timeout` on the server every command works, though each connection of the pool was closed meanwhile."""
    with starting("--timeout", "1") as server:
        async with real_store(server.url, fresh_keys()) as store:
            for _ in range(2):
                await fill_pool(store)
                await none_is_left(server)
                assert await store.client.ping()
                assert await store.commands([("PING",), ("PING",)]) == [True, True]


async def test_killed_connections_are_made_anew() -> None:
    """After CLIENT KILL of all that were idle each command works at the first try."""
    with starting() as server:
        async with real_store(server.url, fresh_keys()) as store:
            await fill_pool(store)
            server.ask("CLIENT", "KILL", "TYPE", "normal")
            await none_is_left(server)
            for _ in range(10):
                assert await store.client.ping()


async def test_a_restarted_server_costs_no_try_for_each_connection() -> None:
    """A pool full of connections to the process before works at once when the server is back."""
    with starting() as server:
        async with real_store(server.url, fresh_keys()) as store:
            await fill_pool(store, 20)
            server.kill()
            server.start()
            for _ in range(20):
                assert await store.client.ping()


@pytest.mark.cluster
async def test_killed_connections_to_a_cluster_are_made_anew(cluster_url: str) -> None:
    """The connections to each node are looked at before they are used, too."""
    async with real_store(cluster_url, fresh_keys()) as store:
        commands = [("EXISTS", store.keys.events(f"{STREAM}{number}")) for number in range(20)]
        assert await store.commands(commands) == [0] * 20
        client: Any = store.client
        for node in client.get_primaries():
            await client.execute_command("CLIENT KILL", "TYPE", "normal", "SKIPME", "no", target_nodes=node)
            await none_of_a_node_is_left(node.host, node.port)
        assert await store.commands(commands) == [0] * 20
        assert [await store.client.exists(key) for _, key in commands] == [0] * 20


async def test_killed_connections_behind_sentinel_are_made_anew() -> None:
    """The same holds for the connections to a master that Sentinels name, and for those to the Sentinels."""
    with running_sentinels() as sentinels:
        store = connect(sentinels.url, fresh_keys())
        await fill_pool(store)
        for server in (sentinels.master(), *sentinels.sentinels):
            server.ask("CLIENT", "KILL", "TYPE", "normal")
            await none_is_left(server)
        for _ in range(5):
            assert await store.client.ping()
        await store.aclose()


# Given up without a word


async def test_a_gateway_that_forgets_idle_connections_costs_no_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that has been idle is asked for a sign of life first, and made anew without one."""
    monkeypatch.setattr(router.store.connection_kinds, "_IDLE", 0.0)
    monkeypatch.setattr(router.store.connection_kinds, "_ANSWER", 0.05)
    async with behind_proxy() as (proxy, store, _):
        await fill_pool(store)
        proxy.forget()
        for _ in range(6):
            assert await store.client.ping()
        assert await store.commands([("PING",)]) == [True]


async def test_a_connection_in_use_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sign of life is asked for only after a while: what is used all the time pays nothing."""
    with starting() as server:
        async with real_store(server.url, fresh_keys()) as store:
            monkeypatch.setattr(router.store.connection_kinds, "_IDLE", LONG)
            await store.client.exists("x")
            server.ask("CONFIG", "RESETSTAT")
            for _ in range(10):
                await store.client.exists("x")
            assert "cmdstat_ping" not in server.ask("INFO", "commandstats")
            monkeypatch.setattr(router.store.connection_kinds, "_IDLE", 0.0)
            await store.client.exists("x")
            assert server.ask("INFO", "commandstats")["cmdstat_ping"]["calls"] == 1


# Cut in the middle


@pytest.mark.parametrize("after", [0, 3])
@pytest.mark.parametrize("items", [1, 250])
async def test_an_append_whose_reply_is_lost_is_sent_once_more(after: int, items: int) -> None:
    """Appending is idempotent, so a connection that breaks in its reply costs neither the events nor a 503."""
    async with behind_proxy() as (proxy, store, _):
        batch = Batch(store, window=DAY)
        assert await batch.append([entry(store, "first")]) == [True]
        proxy.cut_replies(after=after)
        outcomes = await batch.append([entry(store, f"n{number}") for number in range(items)])
        assert not any(isinstance(outcome, BaseException) for outcome in outcomes)
        found = await store.client.xrange(store.keys.events(STREAM))
        assert [fields[b"id"].decode() for _, fields in found] == ["first", *(f"n{n}" for n in range(items))]


async def test_an_append_is_not_tried_without_end() -> None:
    """A store whose connections break each time is a store that is away: the caller hears of it."""
    async with behind_proxy() as (proxy, store, _):
        batch = Batch(store, window=DAY)
        assert await batch.append([entry(store, "first")]) == [True]
        proxy.lose_replies()
        [outcome] = await batch.append([entry(store, "one")])
        assert isinstance(outcome, StoreUnavailable)
        proxy.heal()
        assert await batch.append([entry(store, "one")]) == [False]


async def test_other_commands_are_not_sent_twice() -> None:
    """What was sent on a connection that broke may have been done: only its sender knows whether to do it again."""
    async with behind_proxy() as (proxy, store, server):
        key = store.keys.events(STREAM)
        assert await store.client.xadd(key, {"id": "one"})
        proxy.cut_replies()
        with pytest.raises(ConnectionLost):
            await store.client.xadd(key, {"id": "two"})
        assert server.ask("XLEN", key) == 2


# Reads that block


async def test_a_reader_that_was_idle_reads_on_and_can_be_ended() -> None:
    """A connection for blocking reads that the server closed meanwhile is made anew, and known by its new number."""
    with starting() as server:
        async with real_store(server.url, fresh_keys()) as store:
            key = store.keys.events(STREAM)
            connection = ReadConnection(store, key, LONG)
            await connection.run("XLEN", key)
            before = connection._number
            server.ask("CLIENT", "KILL", "TYPE", "normal")
            await none_is_left(server)
            assert await connection.run("XLEN", key) == 0
            assert connection._number not in (None, before)
            await connection.aclose()
