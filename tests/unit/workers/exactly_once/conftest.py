"""Databases to make effects in: each driver that `once` takes, with its table and one for the effects."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite
import asyncpg
import psycopg
import pytest
from support.postgres import Postgres

from workers import Delivery, once

_TABLE = "CREATE TABLE effects (id TEXT NOT NULL)"


class Database:
    """Connections of one driver to an empty database; `asks` is whether its calls are awaited."""

    def __init__(self, driver: str, place: Any, stack: AsyncExitStack) -> None:
        self.driver = driver
        self.place = place
        self.stack = stack
        self.awaits = driver not in ("sqlite3", "psycopg")

    async def connect(self, *, autocommit: bool = False) -> Any:
        """Return a new connection, which is closed with the test; asyncpg has autocommit always."""
        options: Any = {"timeout": 20} | ({"isolation_level": None} if autocommit else {})
        if self.driver == "sqlite3":
            connection: Any = sqlite3.connect(self.place, check_same_thread=False, **options)
            self.stack.callback(connection.close)
        elif self.driver == "aiosqlite":
            connection = await self.stack.enter_async_context(aiosqlite.connect(self.place, **options))
        elif self.driver == "asyncpg":
            connection = await asyncpg.connect(**self.place)
            self.stack.push_async_callback(connection.close)
        elif self.driver == "psycopg":
            connection = psycopg.connect(self.place, autocommit=autocommit)
            self.stack.callback(connection.close)
        else:
            connection = await psycopg.AsyncConnection.connect(self.place, autocommit=autocommit)
            self.stack.push_async_callback(connection.close)
        return connection

    async def do(self, found: Any) -> Any:
        """Return what a call of the driver came to."""
        return await found if self.awaits else found

    async def effect(self, delivery: Delivery, connection: Any, *, error: Exception | None = None) -> tuple[Any, ...]:
        """Make the effect of a delivery once, as a handler does; return the marks that were new."""
        statement = f"INSERT INTO effects VALUES ('{delivery.event.id}')"
        if self.awaits:
            async with once(delivery, connection) as new:
                await connection.execute(statement)
                if error:
                    raise error
        else:
            with once(delivery, connection) as new:
                connection.execute(statement)
                if error:
                    raise error
        return new

    async def rows(self, statement: str = "SELECT id FROM effects ORDER BY id") -> list[Any]:
        """Return the first column of what others see, on a connection of its own."""
        connection = await self.connect()
        if self.driver == "asyncpg":
            return [row[0] for row in await connection.fetch(statement)]
        cursor = await self.do(connection.execute(statement))
        return [row[0] for row in await self.do(cursor.fetchall())]

    @asynccontextmanager
    async def transaction(self, connection: Any) -> AsyncIterator[None]:
        """Make a transaction as users of this driver do."""
        if self.driver in ("asyncpg", "async psycopg"):
            async with connection.transaction():
                yield
        elif self.driver == "psycopg":
            with connection.transaction():
                yield
        else:
            await self.do(connection.execute("BEGIN"))
            try:
                yield
            except BaseException:
                await self.do(connection.rollback())
                raise
            await self.do(connection.commit())


@pytest.fixture(
    params=[
        "sqlite3",
        "aiosqlite",
        *(pytest.param(name, marks=pytest.mark.postgres) for name in ("asyncpg", "psycopg", "async psycopg")),
    ]
)
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """Yield an empty database with the table of `once`, for each driver."""
    driver = request.param
    async with AsyncExitStack() as stack:
        if "sqlite" in driver:
            place: Any = tmp_path / "effects.db"
        else:
            server: Postgres = request.getfixturevalue("postgres")
            with psycopg.connect(server.conninfo, autocommit=True) as connection:
                connection.execute("DROP TABLE IF EXISTS effects, event_router_once")
            place = server.asyncpg if driver == "asyncpg" else server.conninfo
        found = Database(driver, place, stack)
        connection = await found.connect()
        await found.do(once.create(connection))
        await found.do(connection.execute(_TABLE))
        if driver != "asyncpg":
            await found.do(connection.commit())
        yield found
