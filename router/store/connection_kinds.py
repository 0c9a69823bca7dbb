"""The kinds of connections to a server: packed in C, looked at before they are used again, and failing alike.

A server, a proxy or a gateway gives up what was idle for long, with a word or without one. Such a connection is made
again before a command is sent on it, so that nobody has to send a command twice of which nobody knows whether it was
done.

redis-py packs the commands of its asyncio connections in Python, which takes seven times as long: of what ingress does
with a request under load it was a fifteenth.

redis-py closes idle connections while another task may just be taking one of them, and a connection kept for long may
have broken unnoticed. What is then raised depends on the moment and on the event loop: AttributeError or RuntimeError,
which nobody who uses a store expects of it.
"""

import asyncio
import re
import select
from collections.abc import Iterable
from typing import Any, NoReturn

from hiredis import pack_command
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, RedisError, ResponseError

from config.errors import causes
from router.process.forking import OpenConnection
from router.store.tls import context_of

_CLOSED = (AttributeError, RuntimeError)
_QUOTED = ", with args beginning with:"  # and then a password, or somebody's data
_IDLE = 1.0  # seconds without an answer, after which a connection is asked for a sign of life before it is used
_ANSWER = 1.0  # seconds to wait for that sign, and at most this part of the time-out of a command:
_PART = 0.25


class ConnectionLost(RedisConnectionError):
    """A connection broke in use: what was sent on it may have been done, or not."""


def was_lost(error: object) -> bool:
    """Return whether a reply is an error that says that the connection broke in use."""
    return isinstance(error, BaseException) and any(isinstance(one, ConnectionLost) for one in causes(error))


class HandshakeRefused(RedisConnectionError):
    """The server refused with what a connection begins: `command` is HELLO or SELECT."""

    def __init__(self, error: ResponseError) -> None:
        super().__init__(*error.args)
        self.command = "SELECT" if re.search("select|DB index", str(error), re.IGNORECASE) else "HELLO"


class _Packing(AbstractConnection):
    """Packs commands in C."""

    def pack_command(self, *args: Any) -> list[bytes]:
        return [_packed(args)]

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
        return [b"".join(map(_packed, commands))]


class _Failing(AbstractConnection):
    """Reports as ConnectionLost what comes of its having been closed, and loses no cancellation of who uses it."""

    async def send_packed_command(self, *args: Any, **options: Any) -> None:
        task = asyncio.current_task()
        cancelled = task.cancelling() if task else 0
        try:
            await super().send_packed_command(*args, **options)
        except (*_CLOSED, RedisConnectionError) as error:
            _raise_lost(error)
        if task and task.cancelling() > cancelled:
            # redis-py sends in `wait_for`, which Python 3.11 lets return where it is cancelled as the sending ends.
            await self.disconnect(nowait=True)
            raise asyncio.CancelledError

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)
        except (*_CLOSED, RedisConnectionError) as error:
            _raise_lost(error)
        except ResponseError as error:
            if _QUOTED not in str(error):
                raise
            raise type(error)(str(error).partition(_QUOTED)[0]) from None

    async def on_connect_check_health(self, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - as redis-py
        try:
            await super().on_connect_check_health(check_health)
        except ResponseError as error:
            await self.disconnect(nowait=True)
            raise HandshakeRefused(error) from error


def _raise_lost(error: Exception) -> NoReturn:
    """Raise ConnectionLost; an error of a kind of its own, such as a wrong password, is raised as it is."""
    if type(error) is RedisConnectionError:
        raise ConnectionLost(*error.args) from error
    if isinstance(error, RedisConnectionError):
        raise error
    raise ConnectionLost(f"the connection was closed: {error}") from error


class _Fresh(_Failing):
    """Makes the connection again, before it sends, where the other end has given it up."""

    _answered_at = 0.0

    @property
    def is_fresh(self) -> bool:
        """Whether it has just been used, and nothing has come on it since, the end of it included."""
        just_used = asyncio.get_running_loop().time() - self._answered_at < _IDLE
        return just_used and self._is_open and not self._has_news

    @property
    def _has_news(self) -> bool:
        """Whether something has come that the event loop has not seen yet; after a pause of ours that is everything."""
        assert self._writer is not None
        poll = select.poll()
        poll.register(self._writer.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    @property
    def _is_open(self) -> bool:
        reader, writer = self._reader, self._writer
        if reader is None or writer is None:
            return False
        return not (reader.at_eof() or reader.exception() or writer.transport.is_closing())

    async def on_connect_check_health(self, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - as redis-py
        self._answered_at = asyncio.get_running_loop().time()
        await super().on_connect_check_health(check_health)

    async def send_packed_command(self, *args: Any, **options: Any) -> None:
        if self.is_connected and not self.is_fresh and not await self._is_alive():
            await self.disconnect(nowait=True)
            await self.connect()  # type: ignore[no-untyped-call]
        await super().send_packed_command(*args, **options)

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            response = await super().read_response(*args, **options)
        finally:
            self._answered_at = asyncio.get_running_loop().time()
        return response

    async def _is_alive(self) -> bool:
        """Ask for a sign of life: whatever it says, it is there."""
        if not self._is_open:
            return False
        limit = min(_ANSWER, (self.socket_timeout or _ANSWER / _PART) * _PART)
        try:
            await super().send_packed_command(self.pack_command("PING"), check_health=False)
            return await super().read_response(timeout=limit) is not None
        except ResponseError:
            return True
        except (RedisError, OSError, TimeoutError):
            return False


class _Encrypting(SSLConnection):
    """Shares with others what it encrypts with."""

    async def connect(self) -> None:
        if not self.is_connected:
            self.ssl_context.context = context_of(self.ssl_context)
        await super().connect()  # type: ignore[no-untyped-call]


class _Withheld(AbstractConnection):
    """Keeps its socket from processes that a handler forks: the server would take them for this one."""

    _withheld: OpenConnection | None = None

    async def on_connect_check_health(self, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - as redis-py
        assert self._writer is not None
        self._withheld = OpenConnection(self._writer)
        await super().on_connect_check_health(check_health)


class Plain(_Withheld, _Fresh, _Packing, Connection):
    """An unencrypted connection to a server."""


class Encrypted(_Withheld, _Fresh, _Packing, _Encrypting):
    """An encrypted connection to a server."""


class Local(_Withheld, _Fresh, _Packing, UnixDomainSocketConnection):
    """A connection to the socket of a server."""


class PlainToMaster(_Withheld, _Fresh, _Packing, SentinelManagedConnection):
    """An unencrypted connection to the master that the Sentinels name."""


class EncryptedToMaster(_Withheld, _Fresh, _Packing, _Encrypting, SentinelManagedSSLConnection):
    """An encrypted connection to the master that the Sentinels name."""


def is_fresh(client: Redis) -> bool:
    """Return whether the connection that a client has to itself has just been used, and nothing has come since."""
    connection = getattr(client, "connection", None)
    return not isinstance(connection, _Fresh) or connection.is_fresh


def _packed(command: Iterable[Any]) -> bytes:
    """Return a command as it goes over the wire; its name may be of two words, such as `XGROUP CREATE`."""
    name, *args = command
    try:
        packed: bytes = pack_command((*name.split(), *args))
    except TypeError as error:
        raise DataError(f"a command cannot be sent: {error}") from error
    return packed
