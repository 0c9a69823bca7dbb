"""Which connections blocks use now: two deliveries on one would be in one transaction, and be undone together."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from workers.exactly_once.errors import SharedConnection

__all__ = ["unshared"]

_users: dict[int, tuple[object, str, Any]] = {}
"""By the identity of the connection, which is that of no other as long as it is here: the task or thread, the event."""


@contextmanager
def unshared(connection: Any, event_id: str) -> Iterator[None]:
    """Have no other task and no other thread use a connection meanwhile; raises SharedConnection."""
    key, user = id(connection), (_user(), event_id, connection)
    holder = _users.setdefault(key, user)
    if holder is user:
        try:
            yield
        finally:
            del _users[key]
    elif holder[0] == user[0]:
        yield  # a block within a block
    else:
        raise SharedConnection(
            f"the connection is in use by the block of event {holder[1]}: give each delivery a connection of its own,"
            " such as one of a pool"
        )


def _user() -> object:
    try:
        return asyncio.current_task() or threading.get_ident()
    except RuntimeError:
        return threading.get_ident()
