"""A block that ends well has made its effect: whatever a handler does in it, and whoever has the connection besides."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest

from workers import Delivery, once
from workers.exactly_once.errors import NoTable, SharedConnection, Undone
from workers.testing import sample_event

STREAM = "visma-net-financial/customer_changed"
MARKERS = "SELECT event_id FROM event_router_once"


def delivery(id_: str = "a") -> Delivery:
    """Return a delivery of an event."""
    return Delivery(sample_event(STREAM, id=id_), "sync")


async def run(database: Any, connection: Any, body: Callable[[], Any], of: Delivery | None = None) -> None:
    """Run a body in the block of a delivery."""
    if database.awaits:
        async with once(of or delivery(), connection):
            await body()
    else:
        with once(of or delivery(), connection):
            await body()


async def test_a_statement_that_failed_and_was_caught(database: Any) -> None:
    """Postgres makes a rollback of the commit then: the block does not end as if all were done."""
    connection, ended = await database.connect(), False

    async def body() -> None:
        await database.do(connection.execute("INSERT INTO effects VALUES ('a')"))
        with suppress(Exception):
            await database.do(connection.execute("INSERT INTO nothing VALUES (1)"))

    with suppress(Undone):
        await run(database, connection, body)
        ended = True
    assert ended is ("sqlite" in database.driver)
    assert await database.rows() == await database.rows(MARKERS) == (["a"] if ended else [])
    if not ended:
        await database.effect(delivery(), connection)  # the next attempt, on the same connection
    assert await database.rows() == ["a"]


async def test_a_rollback_within_the_block(database: Any) -> None:
    """A handler that undoes the transaction of its block has undone the marker: the attempt fails."""
    connection = await database.connect()

    async def body() -> None:
        await database.do(connection.execute("INSERT INTO effects VALUES ('a')"))
        await database.do(connection.execute("ROLLBACK"))

    with pytest.raises(Undone, match="leave commit and rollback to the block"):
        await run(database, connection, body)
    assert await database.rows() == await database.rows(MARKERS) == []
    await database.effect(delivery(), connection)
    assert await database.rows() == ["a"]


async def test_two_deliveries_on_one_connection(database: Any) -> None:
    """They would be one transaction, in which one undoes the other: the second is refused, and the first goes on."""
    connection, second = await database.connect(), delivery("b")

    async def other() -> None:
        await database.effect(second, connection)

    async def body() -> None:
        await database.do(connection.execute("INSERT INTO effects VALUES ('a')"))
        with pytest.raises(SharedConnection, match="a connection of its own"):
            await asyncio.create_task(other())

    await run(database, connection, body)
    assert await database.rows() == await database.rows(MARKERS) == ["a"]
    await other()
    assert await database.rows() == ["a", "b"]


async def test_a_block_within_a_block(database: Any) -> None:
    """One task may nest the blocks of two deliveries: they succeed together, or the inner alone is undone."""
    connection = await database.connect()

    async def body() -> None:
        await database.effect(delivery("b"), connection)
        with pytest.raises(ZeroDivisionError):
            await database.effect(delivery("c"), connection, error=ZeroDivisionError())

    await run(database, connection, body)
    assert await database.rows() == ["b"]
    assert sorted(await database.rows(MARKERS)) == ["a", "b"]


async def test_no_table(database: Any) -> None:
    """Where the table of markers is missing, the message says how it is made; nothing is written."""
    connection = await database.connect(autocommit=True)
    await database.do(connection.execute("DROP TABLE event_router_once"))
    with pytest.raises(NoTable, match=r"once\.create"):
        await database.effect(delivery(), connection)
    with pytest.raises(NoTable):
        await _mark(database, connection)
    with pytest.raises(NoTable):
        await database.do(once.sweep(connection, {"sync": datetime.fromisoformat("2026-01-01T00:00:00Z")}))
    assert await database.rows() == []


async def _mark(database: Any, connection: Any) -> None:
    async with database.transaction(connection):
        await database.do(once.mark(delivery(), connection))
