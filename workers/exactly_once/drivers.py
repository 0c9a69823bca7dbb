"""The drivers whose connections `once` takes: how each asks its database, and how it makes a transaction.

None of them is imported for its own sake: a connection says by its class which driver it is of.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from inspect import iscoroutinefunction
from typing import Any, Protocol, TypeVar

from config.errors import RouterError
from workers.exactly_once.dialects import POSTGRES, SQLITE, Dialect, Question, Rows
from workers.exactly_once.errors import explained

__all__ = ["AsyncDriver", "SyncDriver", "UnknownConnection", "ask", "ask_async", "driver_of"]

T = TypeVar("T")

_BY_LEVEL = -1
"""`sqlite3.LEGACY_TRANSACTION_CONTROL`, which Python 3.11 does not have."""
_PARAMETER = re.compile(r"\$\d")
_BEGUN = ("BEGIN IMMEDIATE", ("COMMIT",), ("ROLLBACK",))
_WITHIN = (
    "SAVEPOINT event_router_once",
    ("RELEASE event_router_once",),
    ("ROLLBACK TO event_router_once", "RELEASE event_router_once"),
)


class UnknownConnection(RouterError, TypeError):
    """What was given is no connection of a driver that `once` knows."""


class AsyncDriver(Protocol):
    """A driver whose calls are awaited."""

    dialect: Dialect

    def transaction(self, connection: Any) -> AbstractAsyncContextManager[Any]:
        """Return what makes a transaction or, within one, a savepoint; undone where the block ends in an error."""

    async def is_open(self, connection: Any) -> bool:
        """Return whether what is written now is committed later."""

    def fetch(self, connection: Any, statement: str, parameters: tuple[Any, ...]) -> Awaitable[Rows]:
        """Run a statement and return its rows."""


class SyncDriver(Protocol):
    """A driver whose calls block; its methods are those of AsyncDriver."""

    dialect: Dialect

    def transaction(self, connection: Any) -> AbstractContextManager[Any]:
        """Return what makes a transaction or, within one, a savepoint."""

    def is_open(self, connection: Any) -> bool:
        """Return whether what is written now is committed later."""

    def fetch(self, connection: Any, statement: str, parameters: tuple[Any, ...]) -> Rows:
        """Run a statement and return its rows."""


class _Asyncpg:
    dialect = POSTGRES

    def transaction(self, connection: Any) -> AbstractAsyncContextManager[Any]:
        made: AbstractAsyncContextManager[Any] = connection.transaction()
        return made

    async def is_open(self, connection: Any) -> bool:
        return bool(connection.is_in_transaction())

    async def fetch(self, connection: Any, statement: str, parameters: tuple[Any, ...]) -> Rows:
        return [tuple(row) for row in await connection.fetch(statement, *parameters)]


class _Psycopg:
    dialect = POSTGRES

    def transaction(self, connection: Any) -> AbstractContextManager[Any]:
        made: AbstractContextManager[Any] = connection.transaction()
        return made

    def is_open(self, connection: Any) -> bool:
        return _has_begun(connection)

    def fetch(self, connection: Any, statement: str, parameters: tuple[Any, ...]) -> Rows:
        with connection.cursor(row_factory=_as_tuple) as cursor:
            cursor.execute(*_formatted(statement, parameters))
            return cursor.fetchall() if cursor.description else ()


class _AsyncPsycopg:
    dialect = POSTGRES

    def transaction(self, connection: Any) -> AbstractAsyncContextManager[Any]:
        made: AbstractAsyncContextManager[Any] = connection.transaction()
        return made

    async def is_open(self, connection: Any) -> bool:
        return _has_begun(connection)

    async def fetch(self, connection: Any, statement: str, parameters: tuple[Any, ...]) -> Rows:
        async with connection.cursor(row_factory=_as_tuple) as cursor:
            await cursor.execute(*_formatted(statement, parameters))
            return await cursor.fetchall() if cursor.description else ()


def _has_begun(connection: Any) -> bool:
    idle = connection.info.transaction_status.name == "IDLE"
    return not (idle and connection.autocommit)  # without autocommit, the next statement begins a transaction


def _as_tuple(_cursor: Any) -> Any:
    return tuple


def _formatted(statement: str, parameters: tuple[Any, ...]) -> tuple[Any, ...]:
    return (_PARAMETER.sub("%s", statement), parameters) if parameters else (statement,)


class _SQLite3:
    dialect = SQLITE

    @contextmanager
    def transaction(self, connection: Any) -> Iterator[None]:
        begin, finish, undo = _WITHIN if connection.in_transaction else _BEGUN
        connection.execute(begin)
        try:
            yield
            for statement in finish:
                connection.execute(statement)
        except BaseException:
            for statement in undo if connection.in_transaction else ():
                connection.execute(statement)
            raise

    def is_open(self, connection: Any) -> bool:
        return _begins_by_itself(connection)

    def fetch(self, connection: Any, statement: str, parameters: tuple[Any, ...]) -> Rows:
        cursor = connection.cursor()
        cursor.row_factory = None  # whatever the connection makes of rows
        rows: Rows = cursor.execute(_PARAMETER.sub("?", statement), parameters).fetchall()
        cursor.close()
        return rows


class _Aiosqlite:
    dialect = SQLITE

    @asynccontextmanager
    async def transaction(self, connection: Any) -> AsyncIterator[None]:
        begin, finish, undo = _WITHIN if connection.in_transaction else _BEGUN
        await connection.execute(begin)
        try:
            yield
            for statement in finish:
                await connection.execute(statement)
        except BaseException:
            for statement in undo if connection.in_transaction else ():
                await connection.execute(statement)
            raise

    async def is_open(self, connection: Any) -> bool:
        within = connection._conn  # noqa: SLF001 - aiosqlite has no other way to ask for this, in its thread
        return bool(await connection._execute(_begins_by_itself, within))  # noqa: SLF001 - as above

    async def fetch(self, connection: Any, statement: str, parameters: tuple[Any, ...]) -> Rows:
        async with connection.execute(_PARAMETER.sub("?", statement), parameters) as cursor:
            return [tuple(row) for row in await cursor.fetchall()]


def _begins_by_itself(connection: Any) -> bool:
    """Return whether the next statement is in a transaction: from Python 3.12 on `autocommit` may say so."""
    if connection.in_transaction:
        return True
    autocommit = getattr(connection, "autocommit", _BY_LEVEL)
    return connection.isolation_level is not None if autocommit == _BY_LEVEL else not autocommit


_ADVICE = "pass a connection of asyncpg, psycopg, sqlite3 or aiosqlite"


def driver_of(connection: Any) -> AsyncDriver | SyncDriver:
    """Return the driver of a connection; raises UnknownConnection for anything else, such as a pool or a cursor."""
    roots = {kind.__module__.partition(".")[0] for kind in type(connection).__mro__}
    if roots & {"asyncpg", "psycopg"} and hasattr(connection, "transaction"):
        if "asyncpg" in roots:
            return _Asyncpg()
        return _AsyncPsycopg() if iscoroutinefunction(connection.execute) else _Psycopg()
    if roots & {"sqlite3", "aiosqlite"} and hasattr(connection, "in_transaction"):
        return _Aiosqlite() if "aiosqlite" in roots else _SQLite3()
    kind = type(connection)
    raise UnknownConnection(f"once got a {kind.__module__}.{kind.__qualname__}, which is no such connection: {_ADVICE}")


def ask(driver: SyncDriver, connection: Any, question: Question[T]) -> T:
    """Put a question to a database, statement by statement; return the answer."""
    try:
        statement, parameters = next(question)
        while True:
            with explained():
                rows = driver.fetch(connection, statement, parameters)
            statement, parameters = question.send(rows)
    except StopIteration as answer:
        found: T = answer.value
        return found


async def ask_async(driver: AsyncDriver, connection: Any, question: Question[T]) -> T:
    """Do what `ask` does, with a driver whose calls are awaited."""
    try:
        statement, parameters = next(question)
        while True:
            with explained():
                rows = await driver.fetch(connection, statement, parameters)
            statement, parameters = question.send(rows)
    except StopIteration as answer:
        found: T = answer.value
        return found
