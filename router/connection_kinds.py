"""The kinds of connections to a server, which fail like any other when they are closed in the middle of their use.

redis-py closes idle connections while another task may just be taking one of them, and a connection kept for long may
have broken unnoticed. What is then raised depends on the moment and on the event loop: AttributeError or RuntimeError,
which nobody who uses a store expects of it.
"""

from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from router.tls import context_of

__all__ = ["Encrypted", "EncryptedToMaster", "Local", "Plain", "PlainToMaster"]

_CLOSED = (AttributeError, RuntimeError)


class _Failing(AbstractConnection):
    """Reports as an error of the connection what comes of its having been closed."""

    async def send_packed_command(self, *args: Any, **options: Any) -> None:
        try:
            await super().send_packed_command(*args, **options)
        except _CLOSED as error:
            raise RedisConnectionError(f"the connection was closed: {error}") from error

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)
        except _CLOSED as error:
            raise RedisConnectionError(f"the connection was closed: {error}") from error


class _Encrypting(SSLConnection):
    """Shares with others what it encrypts with."""

    async def connect(self) -> None:
        if not self.is_connected:
            self.ssl_context.context = context_of(self.ssl_context)
        await super().connect()  # type: ignore[no-untyped-call]


class Plain(_Failing, Connection):
    """An unencrypted connection to a server."""


class Encrypted(_Failing, _Encrypting):
    """An encrypted connection to a server."""


class Local(_Failing, UnixDomainSocketConnection):
    """A connection to the socket of a server."""


class PlainToMaster(_Failing, SentinelManagedConnection):
    """An unencrypted connection to the master that the Sentinels name."""


class EncryptedToMaster(_Failing, _Encrypting, SentinelManagedSSLConnection):
    """An encrypted connection to the master that the Sentinels name."""
