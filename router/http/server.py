"""All connections of one port: made, counted, never too many, and brought to an orderly end."""

import asyncio
from collections.abc import Callable
from typing import Any

from router.http.connection import Application, Connection, Limits
from router.tasks.ending import set_within


class Server:
    """The protocol factory of a port; `requests_count` is how many requests were begun.

    `changed` is called whenever a connection has ended.
    """

    def __init__(self, application: Application[Any], limits: Limits) -> None:
        self._application = application
        self._limits = limits
        self._all_closed = asyncio.Event()
        self.connections: set[Connection] = set()
        self.requests_count = 0
        self.closing = False
        self.changed: Callable[[], None] = lambda: None

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self, self._application, self._limits)

    def make_room(self) -> bool:
        """End the connection without a request whose time is up first; return whether there was one."""
        idle = [connection for connection in self.connections if not connection.busy]
        if not idle:
            return False
        min(idle, key=lambda connection: connection.patience).abort()
        return True

    def close(self) -> None:
        """Close connections as soon as no request is under way on them."""
        self.closing = True
        for connection in list(self.connections):
            connection.wind_down()

    async def finish(self, grace: float) -> None:
        """Wait up to `grace` seconds until all are closed: until what is under way was read, answered and taken."""
        if self.connections:
            self._all_closed.clear()
            await set_within(grace, self._all_closed)

    def opened(self, connection: Connection) -> None:
        """Take note of a connection; one that was accepted just before the end ends with the others."""
        self.connections.add(connection)
        if self.closing:
            connection.wind_down()

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self.connections.discard(connection)
        if not self.connections:
            self._all_closed.set()
        self.changed()

    def abort(self) -> None:
        """Cut all connections."""
        for connection in list(self.connections):
            connection.abort()
