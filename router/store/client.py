"""The store: Redis or Valkey, however it is deployed, and the one way to run commands and scripts on it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import NoScriptError

from config.errors import ConfigError
from config.urls import Node, parse_redis_url
from router.store.cluster import by_node, followed_by
from router.store.connections import Client, ClusterConnector, Connector, connector_for
from router.store.errors import STORE_ERRORS, StoreRefused, ours
from router.store.keys import Keys
from router.store.scripts import Call
from router.tasks.ending import whole


class Store:
    """A client for ordinary commands and scripts, and a maker of further ones for blocking reads.

    Its methods raise StoreUnavailable and StoreRefused, or return them in place of a reply where they say so.
    """

    def __init__(self, connector: Connector, keys: Keys, *, timeout: float = 5.0, cluster: bool = False) -> None:
        self.keys = keys
        self.cluster = cluster
        self._connector = connector
        self.client: Client = connector(timeout=timeout, connections=50)
        self._searching = asyncio.Semaphore(16)

    async def reader(self, key: str, block: float) -> Redis:
        """Return a client of its own, of one server, for reads of `key` that block up to `block` seconds.

        The caller closes it. On a Cluster the server is the one that has the key now: raises as the others.
        """
        connector = self._connector
        if isinstance(connector, ClusterConnector):
            connector = connector.to_node(await self._node_of(key))
        client = connector(timeout=block + 5.0, connections=2)
        assert isinstance(client, Redis)
        return client

    async def _node_of(self, key: str) -> Node:
        assert isinstance(self.client, RedisCluster)
        async with self._searching:  # many look at once, and the client refuses when its connections are all in use
            await self.command("EXISTS", key)  # an answer means that the client knows the way, after a failover too
        node = self.client.get_node_from_key(key)
        assert node is not None
        return Node(str(node.host), int(node.port))

    async def command(self, *command: Any, **options: Any) -> Any:
        """Run one plain command, with options of the client, and return its reply."""
        try:
            return await self.client.execute_command(*command, **options)
        except STORE_ERRORS as error:
            raise ours(error) from error

    async def call(self, call: Call) -> Any:
        """Run one script and return its reply."""
        try:
            return await self.client.execute_command(*_evalsha(call))
        except NoScriptError:
            return await self.command(*_eval(call))
        except STORE_ERRORS as error:
            raise ours(error) from error

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """Run scripts in one round trip; an entry of the result is that script's reply, or the exception it ended in.

        A server that lost its scripts (restart, failover) gets those again that it did not know.
        """
        if len(calls) == 1:
            return [await self._outcome(calls[0])]
        replies = await self.commands([_evalsha(call) for call in calls])
        for index, reply in enumerate(replies):
            if isinstance(reply, StoreRefused) and isinstance(reply.__cause__, NoScriptError):
                replies[index] = await self._outcome(calls[index])
        return replies

    async def _outcome(self, call: Call) -> Any:
        try:
            return await self.call(call)
        except Exception as error:  # noqa: BLE001 - the caller tells them apart
            return error

    async def commands(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Run plain commands in one round trip; an entry of the result is the reply or the exception."""
        if isinstance(self.client, RedisCluster):
            return _ours(await by_node(self.client, commands))
        pipeline = self.client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        try:
            replies: list[Any] = await pipeline.execute(raise_on_error=False)
        except STORE_ERRORS as error:
            return [ours(error)] * len(commands)
        return _ours(replies)

    async def keys_like(self, pattern: str) -> AsyncIterator[str]:
        """Yield the names of keys that fit a pattern, on all nodes, each once or more often; raises as the others.

        This goes through all keys: it is for what is done rarely, and is found by nothing else.
        """
        try:
            async for key in self.client.scan_iter(match=pattern, count=1000):
                yield key.decode(errors="backslashreplace")
        except STORE_ERRORS as error:
            raise ours(error) from error

    async def followed(self, commands: Sequence[tuple[Any, ...]], last: tuple[Any, ...]) -> list[tuple[Any, Any]]:
        """Run commands on keys, and on each connection used `last` after them; return pairs of both replies.

        A reply can be the exception it ended in. On a Cluster nothing is redirected: a moved slot is such an exception.
        """
        if isinstance(self.client, RedisCluster):
            pairs = await followed_by(self.client, commands, last)
            return [(found, reply) for found, reply in (_ours([*pair]) for pair in pairs)]
        *replies, reply = await self.commands([*commands, last])
        return [(found, reply) for found in replies]

    async def call_followed(self, call: Call, last: tuple[Any, ...]) -> tuple[Any, Any]:
        """Run a script that the server knows, and `last` on the same connection; return both as `followed` does."""
        (pair,) = await self.followed([_evalsha(call)], last)
        return pair

    async def aclose(self) -> None:
        """Close the client's connections."""
        if isinstance(self.client, RedisCluster):
            # An error marks the client as one that has to be initialised again, and then it would close nothing.
            self.client._initialize = False  # noqa: SLF001
        await whole(self.client.aclose())


def _ours(replies: list[Any]) -> list[Any]:
    """Put the errors of ours in place of those among the replies."""
    for index, reply in enumerate(replies):
        if isinstance(reply, BaseException):
            replies[index] = ours(reply)
    return replies


def _evalsha(call: Call) -> tuple[Any, ...]:
    return ("EVALSHA", call.script.sha, len(call.keys), *call.keys, *call.args)


def _eval(call: Call) -> tuple[Any, ...]:
    return ("EVAL", call.script.source, len(call.keys), *call.keys, *call.args)


def connect(url: str, keys: Keys, *, connect_timeout: float = 2.0, timeout: float = 5.0) -> Store:
    """Return a store for a URL of the kinds in the settings; connects on first use.

    Raises ConfigError for a URL that says nothing usable, or names certificates that cannot be used.
    """
    try:
        parsed = parse_redis_url(url)
    except ValueError as error:
        raise ConfigError(f"redis.url {error}") from None
    connector = connector_for(parsed, connect_timeout=connect_timeout)
    return Store(connector, keys, timeout=timeout, cluster=parsed.kind == "cluster")
