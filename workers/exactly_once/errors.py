"""What `once` says where an effect cannot be made once: what happened, and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from config.errors import RouterError

__all__ = ["NoTable", "SharedConnection", "Undone", "explained"]

_NO_TABLE: Final = "42P01"
_ABORTED: Final = "25P02"
_OF_SQLITE: Final = "no such table: event_router_once"


class NoTable(RouterError):
    """The database does not have the table of markers."""


class SharedConnection(RouterError):
    """Two deliveries use one connection at the same time: they would be in one transaction."""


class Undone(RouterError):
    """The transaction of a block was undone within it, and the marker with it, although the block ended well."""


@contextmanager
def explained() -> Iterator[None]:
    """Raise NoTable and Undone in place of what drivers say."""
    try:
        yield
    except Exception as error:
        state = getattr(error, "sqlstate", None)
        if state == _NO_TABLE or str(error) == _OF_SQLITE:
            advice = "make it once, by `once.create(connection)` or by the statements of `once.DDL`"
            raise NoTable(f"the table event_router_once is not in this database: {advice}") from error
        if state == _ABORTED:
            raise Undone(
                "a statement within the transaction failed and its error was caught, so Postgres commits nothing of it:"
                " put such a statement in a savepoint, `connection.transaction()`"
            ) from error
        raise
