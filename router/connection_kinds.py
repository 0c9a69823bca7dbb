"""The kinds of connections to a server: what they send is packed in C, and they fail alike however they were closed.

redis-py packs the commands of its asyncio connections in Python, which takes seven times as long: of what ingress does
with a request under load it was a fifteenth.

redis-py closes idle connections while another task may just be taking one of them, and a connection kept for long may
have broken unnoticed. What is then raised depends on the moment and on the event loop: AttributeError or RuntimeError,
which nobody who uses a store expects of it.
"""

from collections.abc import Iterable
from typing import Any

from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError

from router.tls import context_of

__all__ = ["Encrypted", "EncryptedToMaster", "Local", "Plain", "PlainToMaster"]

_CLOSED = (AttributeError, RuntimeError)


class _Packing(AbstractConnection):
    """Packs commands in C."""

    def pack_command(self, *args: Any) -> list[bytes]:
        return [_packed(args)]

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
        return [b"".join(map(_packed, commands))]


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


class Plain(_Failing, _Packing, Connection):
    """An unencrypted connection to a server."""


class Encrypted(_Failing, _Packing, _Encrypting):
    """An encrypted connection to a server."""


class Local(_Failing, _Packing, UnixDomainSocketConnection):
    """A connection to the socket of a server."""


class PlainToMaster(_Failing, _Packing, SentinelManagedConnection):
    """An unencrypted connection to the master that the Sentinels name."""


class EncryptedToMaster(_Failing, _Packing, _Encrypting, SentinelManagedSSLConnection):
    """An encrypted connection to the master that the Sentinels name."""


def _packed(command: Iterable[Any]) -> bytes:
    """Return a command as it goes over the wire; its name may be of two words, such as `XGROUP CREATE`."""
    name, *args = command
    try:
        packed: bytes = pack_command((*name.split(), *args))
    except TypeError as error:
        raise DataError(f"a command cannot be sent: {error}") from error
    return packed
