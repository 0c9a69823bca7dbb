"""Reads that block, on connections of their own."""

import asyncio
import time
from typing import Any

import pytest
from support.servers import starting
from support.stores import fresh_keys, real_store
from support.waiting import eventually

from router.store.client import Store
from router.store.errors import StoreRefused, StoreUnavailable
from router.store.read_connection import ReadConnection

STREAM = "visma-net-financial/customer_changed"
LONG = 30.0
"""Seconds that no test may take."""


async def blocked(store: Store, connection: ReadConnection) -> "asyncio.Task[Any]":
    """Begin a read that blocks; return once it does."""
    command = ("XREAD", "BLOCK", int(LONG * 1000), "STREAMS", store.keys.events(STREAM), "$")
    reading = asyncio.create_task(connection.run(*command))
    await eventually(lambda: connection._number is not None)
    return reading


async def ended(reading: "asyncio.Task[Any]", connection: ReadConnection) -> Any:
    """Ask for the end of a read until it has come, as a stop does; return the reply."""
    started = time.monotonic()
    while not reading.done():
        await connection.unblock()
        await asyncio.wait([reading], timeout=0.05)
    assert time.monotonic() - started < LONG / 2
    return await reading


@pytest.mark.parametrize(
    "kind", [pytest.param("server", marks=pytest.mark.real), pytest.param("cluster", marks=pytest.mark.cluster)]
)
async def test_a_blocked_read_is_ended_by_the_server(kind: str, request: pytest.FixtureRequest) -> None:
    """A stop does not wait for a read to end by itself, on a Cluster neither; what comes later is read later."""
    async with real_store(request.getfixturevalue(f"{kind}_url")) as store:
        key = store.keys.events(STREAM)
        connection = ReadConnection(store, key, LONG)
        assert not await ended(await blocked(store, connection), connection)
        await store.client.xadd(key, {"id": "later"})
        assert len(await connection.run("XREAD", "STREAMS", key, "0")) == 1
        await connection.aclose()


async def test_an_end_without_a_read_is_nothing(store: Store) -> None:
    """A stop may come before the first read."""
    connection = ReadConnection(store, store.keys.events(STREAM), LONG)
    await connection.unblock()
    await connection.aclose()


async def test_after_an_error_it_connects_anew(store: Store) -> None:
    """An error, even one that leaves the connection whole, may mean that another server is to be asked now."""
    key = store.keys.events(STREAM)
    connection = ReadConnection(store, key, LONG)
    await connection.run("XLEN", key)
    first = connection._connection
    with pytest.raises(StoreRefused):
        await connection.run("LPUSH", key)
    assert connection._connection is None
    assert await connection.run("XLEN", key) == 0
    assert connection._connection is not first
    await connection.aclose()


@pytest.mark.real
async def test_reading_needs_no_right_to_ask_for_the_number() -> None:
    """A user who may not use CLIENT reads all the same; a read then ends by itself."""
    users = ("--user", "default", "on", "nopass", "~*", "+@all", "-client|id", "-client|unblock")
    with starting(*users) as server:
        async with real_store(server.url, fresh_keys()) as store:
            key = store.keys.events(STREAM)
            connection = ReadConnection(store, key, LONG)
            assert await connection.run("XREAD", "BLOCK", 10, "STREAMS", key, "$") in (None, {}, [])
            await connection.unblock()
            await connection.aclose()


@pytest.mark.real
async def test_an_end_that_is_asked_of_a_server_that_hangs_is_not_waited_for() -> None:
    """A stop goes on, and the read fails when the server is gone."""
    with starting() as server:
        async with real_store(server.url, fresh_keys()) as store:
            connection = ReadConnection(store, store.keys.events(STREAM), LONG)
            reading = await blocked(store, connection)
            server.freeze()
            started = time.monotonic()
            await connection.unblock()
            assert time.monotonic() - started < LONG / 3
            server.kill()
            with pytest.raises(StoreUnavailable):
                await reading
            server.start()


@pytest.mark.real
async def test_who_is_cancelled_again_and_again_closes_its_connection(server_url: str) -> None:
    """A read that is cancelled again while its connection closes, as on a busy machine, leaves none open."""
    async with real_store(server_url) as store:
        connection = ReadConnection(store, store.keys.events(STREAM), LONG)
        reading = await blocked(store, connection)
        client = connection._connection
        assert client is not None
        link = client.connection
        async with connection._unblocking:  # so that closing takes until here
            for _ in range(3):
                reading.cancel()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
        await asyncio.wait([reading])
        assert reading.cancelled()
        assert link is not None
        assert not link.is_connected
