"""Effects that are made once, in every database and with every driver that `once` takes."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from workers import Delivery, Merged, once
from workers.exactly_once.drivers import UnknownConnection
from workers.exactly_once.once import NoTransaction
from workers.outcomes import AlreadyDone
from workers.testing import sample_event

AT = datetime(2026, 1, 1, tzinfo=UTC)
STREAM = "visma-net-financial/customer_changed"


def delivery(id_: str = "a", *merged: Merged, **more: Any) -> Delivery:
    """Return a delivery of an event."""
    return Delivery(sample_event(STREAM, id=id_), "sync", merged=merged, **more)


def merged(id_: str, **more: Any) -> Merged:
    """Return an event that a later one stands for."""
    return Merged(id_, "customer_changed", AT, "visma-net-financial", **more)


async def test_an_effect_is_made_once_however_often_its_event_is_delivered(database: Any) -> None:
    """The first delivery runs the block; a second one does not, and ends the handler as done already."""
    connection = await database.connect()
    await database.effect(delivery(), connection)
    with pytest.raises(AlreadyDone):
        await database.effect(delivery(attempt=2), connection)
    assert await database.rows() == ["a"]
    await database.effect(delivery("b"), connection)  # the connection can still be used
    assert await database.rows() == ["a", "b"]


async def test_an_effect_that_fails_leaves_no_marker(database: Any) -> None:
    """Effect and marker are there together or not at all: what failed is done at the next delivery."""
    connection = await database.connect()
    with pytest.raises(ZeroDivisionError):
        await database.effect(delivery(), connection, error=ZeroDivisionError())
    assert await database.rows("SELECT event_id FROM event_router_once") == []
    await database.effect(delivery(attempt=2), connection)
    assert await database.rows() == ["a"]


async def test_the_marker_belongs_to_the_transaction_that_is_begun(database: Any) -> None:
    """Within a transaction of the user, effect and marker are seen only once that is committed, and go back with it."""
    connection = await database.connect()

    async def effect_and_error() -> None:
        async with database.transaction(connection):
            await database.effect(delivery(), connection)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await effect_and_error()
    assert await database.rows("SELECT event_id FROM event_router_once") == await database.rows() == []
    async with database.transaction(connection):
        await database.effect(delivery(), connection)
    assert await database.rows() == ["a"]


async def test_a_failed_block_takes_its_marker_back_though_its_transaction_goes_on(database: Any) -> None:
    """Where the error of a block is caught within a transaction, neither effect nor marker are committed with that."""
    connection = await database.connect()
    async with database.transaction(connection):
        with pytest.raises(ZeroDivisionError):
            await database.effect(delivery(), connection, error=ZeroDivisionError())
        await database.effect(delivery("b"), connection)
    assert await database.rows() == await database.rows("SELECT event_id FROM event_router_once") == ["b"]


async def test_a_replay_is_done_again_and_its_redelivery_is_not(database: Any) -> None:
    """Each generation of an event is done once."""
    connection = await database.connect()
    for generation in ("", "1-0", "2-0"):
        await database.effect(delivery(generation=generation), connection)
        with pytest.raises(AlreadyDone):
            await database.effect(delivery(generation=generation), connection)
    assert await database.rows() == ["a", "a", "a"]


async def test_what_differs_in_stream_or_subscription_is_another_event(database: Any) -> None:
    """Ids are unique in their stream only, and each subscription has effects of its own."""
    connection = await database.connect()
    other = sample_event("visma-net-financial/supplier_changed", id="a")
    await database.effect(delivery(), connection)
    await database.effect(Delivery(other, "sync"), connection)
    await database.effect(Delivery(other, "other"), connection)
    assert await database.rows() == ["a", "a", "a"]


async def test_an_event_done_alone_does_not_hide_those_merged_with_it(database: Any) -> None:
    """A merged delivery is skipped only where all that it stands for was done; else `as` names what was not."""
    connection = await database.connect()
    await database.effect(delivery("a"), connection)
    new = await database.effect(delivery("c", merged("a"), merged("b")), connection)
    assert [mark.event_id for mark in new] == ["b", "c"]
    for id_ in ("a", "b", "c"):
        with pytest.raises(AlreadyDone):
            await database.effect(delivery(id_), connection)
    with pytest.raises(AlreadyDone):
        await database.effect(delivery("c", merged("b")), connection)
    new = await database.effect(delivery("c", merged("b"), merged("a", generation="1-0")), connection)
    assert [(mark.event_id, mark.generation) for mark in new] == [("a", "1-0")]
    assert await database.rows() == ["a", "c", "c"]


async def test_two_deliveries_at_once_make_one_effect(database: Any) -> None:
    """Of two workers that have one event at once, one makes the effect; the other waits for it, and is done already."""
    if not database.awaits:
        deliver = _in_thread
    else:

        async def deliver(database: Any, connection: Any) -> None:
            await database.effect(delivery("z", *map(merged, "abc")), connection)

    connections = [await database.connect() for _ in range(4)]
    ended = await asyncio.gather(*(deliver(database, one) for one in connections), return_exceptions=True)
    assert sorted(type(one).__name__ for one in ended) == ["AlreadyDone", "AlreadyDone", "AlreadyDone", "NoneType"]
    assert await database.rows() == ["z"]


async def _in_thread(database: Any, connection: Any) -> None:
    def run() -> BaseException | None:
        try:
            with once(delivery("z", *map(merged, "abc")), connection):
                connection.execute("INSERT INTO effects VALUES ('z')")
        except AlreadyDone as done:
            return done
        return None

    if error := await asyncio.to_thread(run):
        raise error


async def test_marks_end_nothing(database: Any) -> None:
    """`once.mark` says what is new and leaves the rest to the handler, which goes on: for batches, two databases."""
    connection = await database.connect()
    for expected in (["a", "b"], []):
        async with database.transaction(connection):
            new = await database.do(once.mark(delivery("b", merged("a")), connection))
        assert [mark.event_id for mark in new] == expected


async def test_a_mark_takes_a_transaction(database: Any) -> None:
    """A marker that would be committed on the spot is refused: its effect may never come."""
    connection = await database.connect(autocommit=True)
    with pytest.raises(NoTransaction):
        await database.do(once.mark(delivery(), connection))
    assert await database.rows("SELECT event_id FROM event_router_once") == []
    await database.effect(delivery(), connection)  # a block makes one of its own
    assert await database.rows() == ["a"]


def test_a_mark_takes_a_transaction_however_a_connection_is_asked_for_none() -> None:
    """From Python 3.12 on `autocommit` decides, whatever `isolation_level` is: a marker on the spot is refused, too."""

    class Connection(sqlite3.Connection):
        """One of Python 3.12: with `autocommit` it begins nothing, and keeps its level."""

        autocommit = True

    with closing(sqlite3.connect(":memory:", factory=Connection)) as connection:
        once.create(connection)
        assert connection.isolation_level is not None
        with pytest.raises(NoTransaction):
            once.mark(delivery(), connection)
        connection.execute("BEGIN")
        assert len(once.mark(delivery(), connection)) == 1
        connection.rollback()
        Connection.autocommit = False
        assert len(once.mark(delivery(), connection)) == 1


async def test_the_table_is_made_by_several_at_once(database: Any) -> None:
    """Workers that start together may all make the table."""
    connections = [await database.connect() for _ in range(5)]
    drop = await database.connect()
    await database.do(drop.execute("DROP TABLE event_router_once"))
    if database.driver != "asyncpg":
        await database.do(drop.commit())
    if database.awaits:
        await asyncio.gather(*map(once.create, connections))
    else:
        await asyncio.gather(*(asyncio.to_thread(once.create, one) for one in connections))
    await database.effect(delivery(), connections[0])


async def test_a_sweep_removes_what_is_older_than_said_of_each_subscription(database: Any) -> None:
    """Markers of the named subscriptions go that are older than the moment of each, and no others."""
    connection = await database.connect()
    await database.effect(delivery("old"), connection)
    old = datetime.now(UTC) - timedelta(days=40)
    value = f"'{old:%Y-%m-%d %H:%M:%S}'" + ("" if "sqlite" in database.driver else "::timestamp AT TIME ZONE 'UTC'")
    async with database.transaction(connection):
        await database.do(connection.execute(f"UPDATE event_router_once SET at = {value}"))
    await database.effect(delivery("new"), connection)

    async def sweep(**ends: datetime) -> Any:
        return await database.do(once.sweep(connection, ends))

    assert await sweep(other=datetime.now(UTC)) == 0
    assert await sweep(sync=old - timedelta(minutes=1)) == 0
    assert await sweep(sync=old + timedelta(minutes=1), other=datetime.now(UTC)) == 1
    assert await database.rows("SELECT event_id FROM event_router_once") == ["new"]
    with pytest.raises(ValueError, match="aware"):
        await sweep(sync=datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused


async def test_rows_of_any_kind_are_read(database: Any) -> None:
    """How a user has the driver make rows is no matter."""
    connection = await database.connect()
    if "psycopg" in database.driver:
        from psycopg.rows import dict_row  # noqa: PLC0415 - of this driver only

        connection.row_factory = dict_row
    elif "sqlite" in database.driver:
        connection.row_factory = lambda cursor, row: dict(
            zip((part[0] for part in cursor.description), row, strict=True)
        )
        if database.driver == "sqlite3":
            connection.text_factory = bytes
    assert [mark.event_id for mark in await database.effect(delivery(), connection)] == ["a"]
    with pytest.raises(AlreadyDone):
        await database.effect(delivery(), connection)


@pytest.mark.parametrize("wrong", [object(), None, "dsn"])
def test_what_is_no_connection_is_refused(wrong: object) -> None:
    """A pool, a cursor, a string: the message says which connections there are."""
    with pytest.raises(UnknownConnection, match="pass a connection of asyncpg, psycopg, sqlite3 or aiosqlite"):
        once(delivery(), wrong)


def test_an_event_is_no_delivery() -> None:
    """Without the delivery nobody knows the subscription and the generation: the message says how to get one."""
    with pytest.raises(TypeError, match="annotate the handler's argument as Delivery"):
        once(delivery().event, object())  # type: ignore[arg-type]
