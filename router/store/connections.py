"""The kinds of connections to a store: to one server, through Sentinels, or to a Cluster, encrypted or not.

Nothing here retries. A retry inside the client library is invisible and, for a command whose reply was lost, runs it
twice; every loop that uses the store sees the error, waits and goes on by itself.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.maint_notifications import MaintNotificationsConfig

from config.urls import Node, StoreUrl
from router.store.connection_kinds import Encrypted, EncryptedToMaster, Local, Plain, PlainToMaster
from router.store.tls import check_certificates

Client = Redis | RedisCluster

_OF_CLUSTER: dict[str, Any] = {
    "require_full_coverage": False,  # a shard that is gone is no reason to refuse the others
    "reinitialize_steps": 0,  # closing all connections after a few redirections would break the commands on them
}
_SPARE = 20  # times the usual connections: the client of a Cluster refuses when all are in use, where others wait
_SENTINEL_TIMEOUT = 2.0  # seconds for an answer of a Sentinel: there are others to ask


class Connector(Protocol):
    """Makes clients."""

    def __call__(self, *, timeout: float, connections: int) -> Client:
        """Return a client; `connections` are the most to one server, `timeout` (seconds) is that of a command."""
        ...


def connector_for(url: StoreUrl, *, connect_timeout: float) -> Connector:
    """Return what makes clients for a URL; raises ConfigError for files of certificates that cannot be used."""
    if url.tls is not None:
        check_certificates(url.tls)
    common: dict[str, Any] = {
        "socket_connect_timeout": connect_timeout,
        "retry": Retry(NoBackoff(), 0),
        "legacy_responses": False,
        # While they are on, which is the default, the pool hands out connections that the server has closed.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        **(url.tls or {}),
    }
    kinds = {"server": _server, "socket": _server, "sentinel": _sentinel, "cluster": ClusterConnector}
    return kinds[url.kind](url, common)


def _server(url: StoreUrl, common: dict[str, Any]) -> Connector:
    if url.kind == "socket":
        where: dict[str, Any] = {"connection_class": Local, "path": url.path}
    else:
        where = {"connection_class": Plain if url.tls is None else Encrypted, **url.nodes[0]._asdict()}
    options = {**common, **where, **url.access._asdict(), "db": url.db}

    def make(*, timeout: float, connections: int) -> Client:
        pool = BlockingConnectionPool(max_connections=connections, timeout=timeout, socket_timeout=timeout, **options)
        return Redis.from_pool(pool)

    return make


def _sentinel(url: StoreUrl, common: dict[str, Any]) -> Connector:
    of_sentinels = {
        **common,
        **url.sentinel_access._asdict(),
        "connection_class": Plain if url.tls is None else Encrypted,
        "socket_timeout": _SENTINEL_TIMEOUT,
    }
    kind = PlainToMaster if url.tls is None else EncryptedToMaster
    of_master = {**common, "connection_class": kind, **url.access._asdict(), "db": url.db}

    def make(*, timeout: float, connections: int) -> Client:
        sentinel = Sentinels([Redis.from_pool(ConnectionPool(**node._asdict(), **of_sentinels)) for node in url.nodes])
        limits: dict[str, Any] = {"timeout": timeout, "socket_timeout": timeout, "max_connections": connections}
        client: Redis = sentinel.master_for(url.service, connection_pool_class=_SentinelPool, **of_master, **limits)
        return client

    return make


class Sentinels(Sentinel):
    """Asks one Sentinel after the other, the one that knew it last time first; `clients` are those of the Sentinels."""

    def __init__(self, clients: Sequence[Redis]) -> None:
        super().__init__([])  # type: ignore[no-untyped-call]
        self.sentinels = list(clients)

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return host and port of the master; raises MasterNotFoundError with the reason of every Sentinel."""
        reasons = []
        for sentinel in tuple(self.sentinels):
            try:
                masters: Any = await sentinel.sentinel_masters()
            except (RedisConnectionError, RedisTimeoutError, ResponseError) as error:
                reasons.append(f"{_address(sentinel)}: {error}")
                continue
            state = masters.get(service_name)
            if state is not None and self.check_master_state(state, service_name):
                self.sentinels.remove(sentinel)
                self.sentinels.insert(0, sentinel)
                return state["ip"], state["port"]
            reasons.append(f"{_address(sentinel)} {'takes it for down' if state else 'knows no such service'}")
        raise MasterNotFoundError(f"no Sentinel names a master of {service_name!r}: {'; '.join(reasons)}")


def _address(sentinel: Redis) -> str:
    options = sentinel.connection_pool.connection_kwargs
    return f"Sentinel {options['host']}:{options['port']}"


class _SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the master, waited for when all are in use, and those to the Sentinels, closed with them."""

    async def aclose(self) -> None:
        await super().aclose()
        for client in self.sentinel_manager.sentinels:
            await client.aclose()


class _Cluster(RedisCluster):
    async def initialize(self, *args: Any, **named: Any) -> RedisCluster:
        """Find the nodes; raises RedisClusterException where none has a slot, for which redis-py has an IndexError."""
        try:
            return await super().initialize(*args, **named)
        except IndexError as error:
            raise RedisClusterException("no node of the Cluster has any slots yet: create the Cluster") from error


class ClusterConnector:
    """Makes clients of a Cluster, and of single nodes of it."""

    def __init__(self, url: StoreUrl, common: dict[str, Any]) -> None:
        self._url = url
        self._common = common

    def __call__(self, *, timeout: float, connections: int) -> Client:
        """Return a client of the Cluster."""
        url = self._url
        options = {**self._common, **_OF_CLUSTER, **url.access._asdict(), "ssl": url.tls is not None}
        nodes = [ClusterNode(*node) for node in url.nodes]
        limits: dict[str, Any] = {"max_connections": connections * _SPARE, "socket_timeout": timeout}
        client = _Cluster(startup_nodes=nodes, **limits, **options)
        # It takes no argument for this: the first nodes are made already, those found later are made of the options.
        client.connection_kwargs["connection_class"] = kind = Plain if url.tls is None else Encrypted
        for node in client.startup_nodes:
            node.connection_class = kind
        return client

    def to_node(self, node: Node) -> Connector:
        """Return what makes clients of one node."""
        return _server(replace(self._url, nodes=(node,)), self._common)
