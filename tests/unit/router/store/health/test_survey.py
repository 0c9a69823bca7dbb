"""Asking the servers of a store what they say of themselves."""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import RedisCluster
from redis.exceptions import NoPermissionError, ResponseError
from support.ports import reserve
from support.servers import Server, starting
from support.stores import fake_store, real_store
from support.topologies import running_cluster
from support.waiting import eventually

from router.store.client import Store, connect
from router.store.errors import StoreUnavailable
from router.store.health.survey import ask_server, ask_servers, is_denied, masters
from router.store.keys import Keys


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Yield a server of these tests alone, which has users."""
    with starting() as running:
        yield running


@pytest.fixture
async def cluster(cluster_url: str) -> AsyncIterator[Store]:
    """Yield a store on a Cluster."""
    async with real_store(cluster_url) as store:
        yield store


async def asked_as(server: Server, user: str, *rules: str) -> Store:
    """Return a store for a user with these rights."""
    server.ask("ACL", "SETUSER", user, "reset", "on", ">pw", *rules)
    return connect(server.url.replace("://", f"://{user}:pw@"), Keys("x"))


@pytest.mark.real
async def test_a_server_tells(real_store: Store) -> None:
    """A plain server has no name, and says what it is; WAITAOF is asked for only where it is wanted."""
    [server] = await ask_servers(real_store, fsync=False)
    assert (server.name, server.denied, server.waitaof) == ("", "", None)
    assert {"redis_version", "maxmemory_policy", "aof_enabled", "role"} <= server.info.keys()


async def test_a_server_that_loads_is_not_judged_yet() -> None:
    """While a server loads its file it tells that it has none (aof_enabled:0): it counts as one that is away."""

    async def ask(*command: str) -> dict[str, int]:
        assert command == ("INFO",)
        return {"loading": 1, "aof_enabled": 0}

    with pytest.raises(StoreUnavailable, match="loading"):
        await ask_server("", ask, fsync=True)


@pytest.mark.real
async def test_waitaof_is_found(real_store: Store) -> None:
    """Whether there is WAITAOF is what the server says of the command, not of its version."""
    [server] = await ask_servers(real_store, fsync=True)
    version = tuple(map(int, str(server.info["redis_version"]).split(".")[:2]))
    assert server.waitaof is (version >= (7, 2))
    assert server.appendfsync == "everysec"


@pytest.mark.real
async def test_a_command_that_is_missing_is_found_missing(server: Server) -> None:
    """A server that had the command taken away has it not, like one that never had it."""
    never = str(server.ask("INFO", "server")["redis_version"]) < "7.2"
    with starting(*(() if never else ("--rename-command", "WAITAOF", ""))) as without:
        store = connect(without.url, Keys("x"))
        [found] = await ask_servers(store, fsync=True)
        assert found.waitaof is False
        await store.aclose()


@pytest.mark.real
async def test_info_is_forbidden(server: Server) -> None:
    """A user without INFO gets a server that says why it says nothing; the command that is missing is named."""
    store = await asked_as(server, "blind", "+@all", "-info")
    [found] = await ask_servers(store, fsync=True)
    assert found.info == {}
    assert "info" in found.denied.lower()
    await store.aclose()


@pytest.mark.real
async def test_command_info_is_forbidden(server: Server) -> None:
    """INFO alone is enough: whether there is WAITAOF is then not known."""
    store = await asked_as(server, "narrow", "+info", "+ping")
    [found] = await ask_servers(store, fsync=True)
    assert found.info
    assert (found.waitaof, found.appendfsync) == (None, "")
    await store.aclose()


async def test_a_server_without_info() -> None:
    """A server that does not know INFO is one that does not tell."""
    async with fake_store() as store:
        [server] = await ask_servers(store, fsync=False)
        assert server.info == {}
        assert server.denied


@pytest.mark.parametrize(
    ("error", "denied"),
    [
        (NoPermissionError("this user has no permissions to run the 'info' command"), True),
        (ResponseError("unknown command 'INFO', with args beginning with:"), True),
        (ResponseError("BUSY Redis is busy running a script"), False),
    ],
)
def test_what_is_denied(error: ResponseError, denied: bool) -> None:  # noqa: FBT001
    """A command that is not to be had is told from one that only fails now."""
    assert is_denied(error) is denied


async def test_a_store_that_is_away() -> None:
    """Nobody there is an error, for whoever asks to try again."""
    store = connect(f"redis://127.0.0.1:{reserve()}", Keys("x"))
    with pytest.raises(StoreUnavailable):
        await ask_servers(store, fsync=False)
    await store.aclose()


# Cluster


@pytest.mark.cluster
async def test_every_master_of_a_cluster_tells(cluster: Store) -> None:
    """Each master is asked by itself, and is named by host and port."""
    asked = await masters(cluster)
    assert len(asked) == 3
    servers = await ask_servers(cluster, fsync=True)
    assert {server.name for server in servers} == set(asked)
    assert all(server.info["role"] == "master" and server.info["tcp_port"] for server in servers)
    assert all(server.name.endswith(f":{server.info['tcp_port']}") for server in servers)


@pytest.mark.cluster
async def test_a_failover_that_nobody_noticed() -> None:
    """A client that was idle meanwhile learns who is master now, instead of judging the old one."""
    with running_cluster(replicas=1) as cluster:
        store = connect(cluster.url, Keys("x"))
        before = await masters(store)
        old = cluster.masters()[0]
        heir = next(server for server in cluster.servers if _follows(server, old))
        heir.ask("CLUSTER", "FAILOVER")
        await eventually(lambda: old.ask("ROLE")[0] == "slave" and heir in cluster.masters(), interval=0.1)
        assert isinstance(store.client, RedisCluster)
        assert set(await masters(store)) == set(before)
        servers = await ask_servers(store, fsync=False)
        assert {server.info["role"] for server in servers} == {"master"}
        assert f"127.0.0.1:{heir.port}" in {server.name for server in servers}
        await store.aclose()


def _follows(server: Server, master: Server) -> bool:
    role = server.ask("ROLE")
    return bool(role[0] == "slave" and int(role[2]) == master.port)
