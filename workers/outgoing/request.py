"""A request that goes over no connection on which something came that nobody asked for.

A server may say 408 on an idle connection before it closes it, or answer once too often. The client library takes that
for the answer to the next request: an event that nobody handled could count as taken.
"""

from contextlib import suppress

import aiohttp
from aiohttp.connector import Connection

__all__ = ["Request", "over_a_good_connection"]


class _StaleConnection(aiohttp.ClientError):
    """The connection is of no use any more, and nothing was sent over it."""


async def over_a_good_connection(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request, a middleware of aiohttp: connections of no use are left out, each of which is gone then."""
    while True:
        with suppress(_StaleConnection):
            return await handler(request)


class Request(aiohttp.ClientRequest):
    """What aiohttp sends, over connections on which nothing has come since the last answer."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Send the request, unless what would be taken for its answer is there already."""
        protocol = conn.protocol
        if protocol is None or protocol.should_close or not protocol.is_connected():
            raise _StaleConnection
        return await super().send(conn)
