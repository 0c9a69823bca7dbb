"""`once`: an effect in a database that is made once, however often its event is delivered.

    @customers.handler
    async def sync(delivery: Delivery) -> None:
        async with pool.acquire() as connection, once(delivery, connection):
            await connection.execute("INSERT INTO ledger ...")

The block begins with a marker of the event, in the same transaction as what it writes: both are there, or neither.
Where the marker is there already, the block is not run, and the event is done.
"""

from collections.abc import Mapping
from datetime import datetime
from inspect import iscoroutinefunction
from types import MappingProxyType
from typing import Any, Final

from config.errors import RouterError
from workers.delivery import Delivery
from workers.exactly_once.block import Block
from workers.exactly_once.dialects import POSTGRES, SQLITE, Question
from workers.exactly_once.drivers import ask, ask_async, driver_of
from workers.exactly_once.marks import marks_of

__all__ = ["NoTransaction", "Once", "once"]


class NoTransaction(RouterError):
    """`once.mark` was called with no transaction begun: its marker would be there although the effect may fail."""


class Once:
    """Makes effects once. What it writes is in the table `event_router_once`, which `create` makes."""

    DDL: Final[Mapping[str, str]] = MappingProxyType(
        {name: ";\n".join(dialect.ddl) + ";\n" for name, dialect in (("postgres", POSTGRES), ("sqlite", SQLITE))}
    )
    """The statements that make the table, for `postgres` and for `sqlite`."""

    def __call__(self, delivery: Delivery, connection: Any) -> Block:
        """Return a block for `async with`; for `with`, where the connection is one of sqlite3 or a plain psycopg.

        The block is a transaction, or a savepoint where one is begun already: then its effect is there once that is
        committed. `as` gives the marks of the events that were not done before; of a merged delivery some may have
        been. Where all were, the handler ends at the block, and the event is done: nothing behind the block is run.

        Raises UnknownConnection for what is no connection of asyncpg, psycopg, sqlite3 or aiosqlite; TypeError for an
        event in place of its delivery.
        """
        return Block(_checked(delivery), connection, driver_of(connection))

    def mark(self, delivery: Delivery, connection: Any) -> Any:
        """Write the markers of a delivery in the transaction that is begun; return the marks that were not there.

        An empty tuple says that all is done: the handler goes on, and has to leave out the effect itself. This is for
        batches, and for handlers that do more than one thing. To be awaited where the driver's calls are. Raises
        NoTransaction where none is begun.
        """
        return _put(connection, lambda dialect: dialect.insert(_checked(delivery).subscription, marks_of(delivery)))

    def create(self, connection: Any) -> Any:
        """Make the table, where it is not there; several workers may at once. To be awaited as `mark`."""
        return _put(connection, lambda dialect: dialect.create(), whole=True)

    def sweep(self, connection: Any, ends: Mapping[str, datetime]) -> Any:
        """Remove the markers of subscriptions from before the moment of each; return how many. Awaited as `mark`.

        `ends`: by subscription, as `Operations.markers_needed` says them: what is older can come from nowhere any more.
        """
        aware = {name: end for name, end in ends.items() if end.tzinfo is not None}
        if len(aware) < len(ends):
            raise ValueError("once.sweep takes aware moments, such as datetime.now(UTC) - timedelta(days=30)")
        return _put(connection, lambda dialect: dialect.sweep(aware), whole=True)


once = Once()


def _put(connection: Any, question: Any, *, whole: bool = False) -> Any:
    """Put a question in the transaction that is begun, or in a `whole` one of its own."""
    driver: Any = driver_of(connection)
    asked: Question[Any] = question(driver.dialect)
    if iscoroutinefunction(driver.fetch):
        return (_transacted_async if whole else _within_async)(driver, connection, asked)
    return (_transacted if whole else _within)(driver, connection, asked)


def _within(driver: Any, connection: Any, asked: Question[Any]) -> Any:
    _refuse_unless(driver.is_open(connection))
    return ask(driver, connection, asked)


async def _within_async(driver: Any, connection: Any, asked: Question[Any]) -> Any:
    _refuse_unless(await driver.is_open(connection))
    return await ask_async(driver, connection, asked)


def _refuse_unless(is_open: bool) -> None:  # noqa: FBT001 - the one thing that it is about
    if not is_open:
        raise NoTransaction("once.mark needs a transaction that is begun: call it within one, or use `once(...)`")


def _transacted(driver: Any, connection: Any, asked: Question[Any]) -> Any:
    with driver.transaction(connection):
        return ask(driver, connection, asked)


async def _transacted_async(driver: Any, connection: Any, asked: Question[Any]) -> Any:
    async with driver.transaction(connection):
        return await ask_async(driver, connection, asked)


def _checked(delivery: Delivery) -> Delivery:
    if not isinstance(delivery, Delivery):
        raise TypeError(
            f"once takes the delivery, not {type(delivery).__qualname__}: annotate the handler's argument as Delivery"
        )
    return delivery
