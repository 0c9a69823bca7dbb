"""The connection to Redis or Valkey, plain, by Sentinel or as a Cluster, and the one way to run scripts on it.

Nothing here retries. A retry inside the client library is invisible and, for a command whose reply was lost, runs it
twice; every loop that uses the store sees the error, waits and goes on by itself.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from config.errors import ConfigError, RouterError
from router.keys import Keys
from router.scripts import Call

__all__ = ["STORE_ERRORS", "Client", "Store", "StoreUnavailable", "connect"]

STORE_ERRORS = (RedisError, OSError, asyncio.TimeoutError)
"""What a command may raise when the store is away, busy or refuses."""

Client = Redis | RedisCluster


class StoreUnavailable(RouterError):
    """The store did not take or answer a command; whether the command was carried out may be unknown."""


class Connector(Protocol):
    """Makes a client whose commands may take up to `timeout` seconds."""

    def __call__(self, *, timeout: float, connections: int) -> Client: ...


class Store:
    """A client for ordinary commands and scripts, and a maker of further ones for blocking reads."""

    def __init__(self, connector: Connector, keys: Keys, *, timeout: float = 5.0, cluster: bool = False) -> None:
        self.keys = keys
        self.cluster = cluster
        self._connector = connector
        self.client: Client = connector(timeout=timeout, connections=50)

    def reader(self, block: float) -> Client:
        """Return a client of its own for reads that block up to `block` seconds; the caller closes it."""
        return self._connector(timeout=block + 5.0, connections=4)

    async def call(self, call: Call) -> Any:
        """Run one script and return its reply; raises what redis-py raises."""
        try:
            return await self.client.execute_command(*_evalsha(call))
        except NoScriptError:
            return await self.client.execute_command(*_eval(call))

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """Run scripts in one round trip; an entry of the result is that script's reply, or the exception it ended in.

        A server that lost its scripts (restart, failover) gets those again that it did not know.
        """
        if len(calls) == 1 or self.cluster:
            return await asyncio.gather(*map(self.call, calls), return_exceptions=True)
        replies = await self.commands([_evalsha(call) for call in calls])
        for index, reply in enumerate(replies):
            if isinstance(reply, NoScriptError):
                replies[index] = (await self.run([calls[index]]))[0]
        return replies

    async def commands(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Run plain commands in one round trip; an entry of the result is the reply or the exception."""
        if self.cluster:
            single = (self.client.execute_command(*command) for command in commands)
            return await asyncio.gather(*single, return_exceptions=True)
        pipeline = self.client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        try:
            replies: list[Any] = await pipeline.execute(raise_on_error=False)
        except STORE_ERRORS as error:
            return [error] * len(commands)
        return replies

    async def aclose(self) -> None:
        """Close the client's connections."""
        await self.client.aclose()


def _evalsha(call: Call) -> tuple[Any, ...]:
    return ("EVALSHA", call.script.sha, len(call.keys), *call.keys, *call.args)


def _eval(call: Call) -> tuple[Any, ...]:
    return ("EVAL", call.script.source, len(call.keys), *call.keys, *call.args)


def connect(url: str, keys: Keys, *, connect_timeout: float = 2.0, timeout: float = 5.0) -> Store:
    """Return a store for a URL of the kinds in the settings; connects on first use.

    Raises ConfigError for a Sentinel URL without a service name (`redis+sentinel://host:26379/service/0`).
    """
    common: dict[str, Any] = {
        "socket_connect_timeout": connect_timeout,
        "retry": Retry(NoBackoff(), 0),
        "legacy_responses": False,
    }
    scheme = urlsplit(url).scheme
    if scheme == "redis+cluster":
        return Store(_cluster(url, common), keys, timeout=timeout, cluster=True)
    if scheme == "redis+sentinel":
        return Store(_sentinel(url, common), keys, timeout=timeout)
    return Store(_plain(url, common), keys, timeout=timeout)


def _plain(url: str, common: dict[str, Any]) -> Connector:
    def make(*, timeout: float, connections: int) -> Client:
        pool = BlockingConnectionPool.from_url(
            url, max_connections=connections, timeout=timeout, socket_timeout=timeout, **common
        )
        return Redis.from_pool(pool)

    return make


def _sentinel(url: str, common: dict[str, Any]) -> Connector:
    parts = urlsplit(url)
    path = [part for part in parts.path.split("/") if part]
    if not path:
        raise ConfigError(
            f"redis.url names no Sentinel service: write redis+sentinel://{parts.netloc.rpartition('@')[2]}/SERVICE[/DB]"
        )
    hosts = [_host(pair, 26379) for pair in parts.netloc.rpartition("@")[2].split(",")]
    database = path[1] if len(path) > 1 else "0"
    if not database.isdigit():
        raise ConfigError(f"redis.url: {database!r} is no database number: write …/{path[0]}/0")
    access = {"username": _decoded(parts.username), "password": _decoded(parts.password), "db": int(database)}
    extra = dict(parse_qsl(parts.query))

    def make(*, timeout: float, connections: int) -> Client:
        sentinel = Sentinel(  # type: ignore[no-untyped-call]
            hosts, socket_timeout=timeout, sentinel_kwargs={**common, "socket_timeout": 2.0, **extra}
        )
        options = {**common, **access, "socket_timeout": timeout, "max_connections": connections}
        client: Redis = sentinel.master_for(path[0], **options)
        return client

    return make


def _cluster(url: str, common: dict[str, Any]) -> Connector:
    plain = "redis" + url.removeprefix("redis+cluster")

    def make(*, timeout: float, connections: int) -> Client:
        return RedisCluster.from_url(plain, max_connections=connections, socket_timeout=timeout, **common)

    return make


def _host(pair: str, default: int) -> tuple[str, int]:
    if pair.endswith("]"):
        return (pair.strip("[]"), default)
    host, _, port = pair.rpartition(":")
    return (host.strip("[]"), int(port)) if host else (port, default)


def _decoded(text: str | None) -> str | None:
    return unquote(text) if text is not None else None
