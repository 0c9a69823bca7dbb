"""The connection to the store: kinds of URLs, scripts that the server lost, and errors as values."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from redis.asyncio import RedisCluster
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection

from config.errors import ConfigError
from router.store import scripts
from router.store.client import Store, connect
from router.store.errors import STORE_ERRORS, StoreRefused, StoreUnavailable
from router.store.keys import Keys

KEYS = Keys("x")


@pytest.fixture
def nobody() -> Iterator[str]:
    """Yield the URL of a port that refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"redis://127.0.0.1:{taken.getsockname()[1]}"


def pool_of(url: str, **options: float) -> Any:
    """Return the connection pool of a store for this URL."""
    return connect(url, KEYS, **options).client.connection_pool  # type: ignore[union-attr]


# URLs


def test_a_plain_url() -> None:
    """Host, port, database and password are those of the URL; time-outs are those of the settings."""
    pool = pool_of("redis://user:p%40ss@example:6390/3", connect_timeout=1, timeout=7)
    wanted = {"host": "example", "port": 6390, "db": 3, "username": "user", "password": "p@ss"}
    assert wanted.items() <= pool.connection_kwargs.items()
    assert pool.connection_kwargs["socket_connect_timeout"] == 1
    assert pool.connection_kwargs["socket_timeout"] == 7


def test_a_tls_url() -> None:
    """`rediss` is TLS."""
    assert issubclass(pool_of("rediss://example").connection_class, SSLConnection)


def test_a_unix_url() -> None:
    """A unix socket is named by its path."""
    pool = pool_of("unix:///run/redis.sock?db=2")
    assert issubclass(pool.connection_class, UnixDomainSocketConnection)
    assert pool.connection_kwargs["path"] == "/run/redis.sock"


def test_a_sentinel_url() -> None:
    """Several Sentinels, the port optional; the service and database in the path; parameters are for the Sentinels."""
    pool = pool_of("redis+sentinel://user:pass@one:1234,two/main/4?password=other", timeout=7)
    manager = pool.sentinel_manager
    hosts = [client.connection_pool.connection_kwargs for client in manager.sentinels]
    assert [(kwargs["host"], kwargs["port"]) for kwargs in hosts] == [("one", 1234), ("two", 26379)]
    assert {kwargs["password"] for kwargs in hosts} == {"other"}
    assert pool.service_name == "main"
    wanted = {"username": "user", "password": "pass", "db": 4, "socket_timeout": 7}
    assert wanted.items() <= pool.connection_kwargs.items()


@pytest.mark.parametrize("url", ["redis+sentinel://host:26379", "redis+sentinel://u:pw@host/"])
def test_a_sentinel_url_needs_a_service(url: str) -> None:
    """Without the name of the service it is refused, with what to write, and without the password."""
    with pytest.raises(ConfigError, match=r"redis\+sentinel://host.*/SERVICE") as caught:
        connect(url, KEYS)
    assert "pw" not in str(caught.value)


def test_a_sentinel_password_is_decoded() -> None:
    """A password means the same in every kind of URL."""
    assert pool_of("redis+sentinel://user:p%40ss@one/main").connection_kwargs["password"] == "p@ss"


def test_a_sentinel_may_have_an_ipv6_address() -> None:
    """IPv6 addresses are written in brackets, which are not part of them."""
    pool = pool_of("redis+sentinel://[::1]:1234,[::2]/main")
    hosts = [client.connection_pool.connection_kwargs for client in pool.sentinel_manager.sentinels]
    assert [(kwargs["host"], kwargs["port"]) for kwargs in hosts] == [("::1", 1234), ("::2", 26379)]


def test_a_sentinel_database_is_a_number() -> None:
    """A wrong URL is a wrong setting, and reported as one."""
    with pytest.raises(ConfigError):
        connect("redis+sentinel://one/main/first", KEYS)


def test_a_cluster_url() -> None:
    """A Cluster has a client of its own, and the store knows."""
    store = connect("redis+cluster://user:pass@one:7000", KEYS)
    assert isinstance(store.client, RedisCluster)
    assert store.cluster


def test_only_a_cluster_is_one() -> None:
    """Everything else is one server to its scripts."""
    assert not connect("redis://one", KEYS).cluster
    assert not connect("redis+sentinel://one/main", KEYS).cluster


async def test_a_reader_waits_longer_than_its_reads_block() -> None:
    """The client for blocking reads must not take a long block for a dead server."""
    store = connect("redis://one", KEYS, timeout=2)
    pool: Any = (await store.reader("key", 30)).connection_pool
    assert pool.connection_kwargs["socket_timeout"] > 30


def test_nothing_is_retried_below_the_loops() -> None:
    """A retry inside the client would run a command twice whose reply was lost."""
    assert pool_of("redis://one").connection_kwargs["retry"]._retries == 0


# Scripts


def beat(consumer: str = "c") -> scripts.Call:
    """Return a script call that is easy to check."""
    return scripts.beat("x:consumers", consumer, 60_000)


async def alive(store: Store) -> set[bytes]:
    """Return who sent a heartbeat."""
    found: set[bytes] = set(await store.client.zrange("x:consumers", 0, -1))
    await store.client.delete("x:consumers")
    return found


async def test_a_server_that_lost_its_scripts_gets_them_again(store: Store) -> None:
    """NOSCRIPT is no error of a call, alone or among others, known ones or the same ones."""
    await store.client.script_flush()
    assert await store.call(beat("a")) == []
    await store.client.script_flush()
    assert await store.run([beat("b")]) == [[]]
    await store.client.script_flush()
    calls = [beat("c"), beat("d"), scripts.promote("{x}:due", "{x}:bodies", "{x}:inbox", 1)]
    assert await store.run(calls) == [[], [], [0, -1]]
    assert await alive(store) == {b"a", b"b", b"c", b"d"}


async def test_an_error_of_one_script_is_its_reply(store: Store) -> None:
    """A script that fails fails alone: its reply is the exception, those of its neighbours are theirs."""
    await store.client.set("x:string", "x")
    broken = scripts.beat("x:string", "c", 1)
    for _ in range(2):  # unknown to the server, then known
        first, error, last = await store.run([beat("a"), broken, beat("b")])
        assert first == last == []
        assert isinstance(error, StoreRefused)
    [alone] = await store.run([broken])
    assert isinstance(alone, StoreRefused)
    with pytest.raises(StoreRefused):
        await store.call(broken)
    await store.client.delete("x:string")
    assert await alive(store) == {b"a", b"b"}


async def test_no_scripts_are_no_work(store: Store) -> None:
    """An empty list is answered with one."""
    assert await store.run([]) == []
    assert await store.commands([]) == []


async def test_plain_commands_in_one_round_trip(store: Store) -> None:
    """Commands are answered in their order, errors among the replies."""
    key = f"{store.keys.prefix}:string"
    replies = await store.commands([("SET", key, "1"), ("LPUSH", key, "x"), ("GET", key)])
    assert replies[2] == b"1"
    assert isinstance(replies[1], StoreRefused)


async def test_a_store_that_is_away_is_a_reply(nobody: str) -> None:
    """`run` and `commands` return the error for each of their calls; `call` raises it."""
    store = connect(nobody, KEYS, connect_timeout=2, timeout=2)
    for replies in (
        await store.run([beat()]),
        await store.run([beat(), beat()]),
        await store.commands([("PING",), ("PING",)]),
    ):
        assert replies
        assert all(isinstance(reply, StoreUnavailable) for reply in replies)
    with pytest.raises(STORE_ERRORS):
        await store.call(beat())
    await store.aclose()


async def test_a_cluster_runs_each_call_on_its_own(store: Store) -> None:
    """On a Cluster calls go to the nodes of their keys: each is sent for itself, and its error is its own."""
    cluster = Store(store._connector, store.keys, cluster=True)
    await cluster.client.set("x:string", "x")
    first, error = await cluster.run([beat("a"), scripts.beat("x:string", "c", 1)])
    assert first == []
    assert isinstance(error, StoreRefused)
    good, bad = await cluster.commands([("GET", "x:string"), ("LPUSH", "x:string", "x")])
    assert good == b"x"
    assert isinstance(bad, StoreRefused)
    await cluster.client.delete("x:string")
    assert await alive(cluster) == {b"a"}
    await cluster.aclose()


@pytest.mark.cluster
async def test_a_client_that_is_to_ask_again_who_has_what_is_closed_too(cluster_url: str) -> None:
    """After an error of a node every connection is closed all the same: the event loop would not end with one open."""
    store = connect(cluster_url, KEYS)
    assert await store.client.exists("x") == 0
    client: Any = store.client
    nodes = client.get_nodes()
    client._initialize = True  # as an error leaves it
    await store.aclose()
    assert not any(connection.is_connected for node in nodes for connection in node._connections)
