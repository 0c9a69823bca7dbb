"""Round trips on a Cluster."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.ports import reserve
from support.stores import real_store
from support.topologies import running_cluster

from router.events.catalogue import Catalogue
from router.store.client import Store, connect
from router.store.errors import STORE_ERRORS
from router.store.keys import Keys

pytestmark = [pytest.mark.real, pytest.mark.cluster]


@pytest.fixture
async def cluster(cluster_url: str) -> AsyncIterator[Store]:
    """Yield a store on a Cluster that was not used before, and patient: a crowd takes its time on a busy machine."""
    async with real_store(cluster_url) as store:
        yield store


async def test_the_first_use_by_many_at_once(cluster: Store, catalogue: Catalogue) -> None:
    """What begins together finds its way together: nobody's connections are closed by another's redirections."""
    commands = [("XLEN", cluster.keys.events(stream)) for stream in catalogue.streams()]
    for replies in await asyncio.gather(*(cluster.commands(commands) for _ in range(5))):
        assert replies == [0] * len(commands)


async def test_more_at_once_than_a_server_has_connections(cluster: Store, catalogue: Catalogue) -> None:
    """A crowd of subscriptions is served; the client of a Cluster would refuse where others wait."""
    commands = [("XLEN", cluster.keys.events(stream)) for stream in catalogue.streams()[:10]]
    await cluster.commands(commands)
    for replies in await asyncio.gather(*(cluster.commands(commands) for _ in range(120))):
        assert replies == [0] * len(commands)


async def test_commands_on_one_key_stay_in_order(cluster: Store, catalogue: Catalogue) -> None:
    """Each key's commands are carried out in the order in which they were given."""
    keys = [cluster.keys.events(stream) for stream in catalogue.streams()[:10]]
    await cluster.commands([("RPUSH", key, number) for number in range(20) for key in keys])
    for items in await cluster.commands([("LRANGE", key, 0, -1) for key in keys]):
        assert [int(item) for item in items] == list(range(20))


async def test_a_node_that_dies_fails_its_own_commands_only(catalogue: Catalogue) -> None:
    """The others are answered, and when another node has taken over, the next ones find it."""
    with running_cluster("--cluster-require-full-coverage", "no", node_timeout=1) as servers:
        async with real_store(servers.url) as store:
            keys = [store.keys.events(stream) for stream in catalogue.streams()]
            victim = servers.master(keys[0])
            theirs = [servers.master(key) is victim for key in keys]
            commands = [("XADD", key, "*", "a", "b") for key in keys]
            await store.commands(commands)
            servers.kill_master(keys[0])
            failed = [isinstance(reply, STORE_ERRORS) for reply in await store.commands(commands)]
            assert failed == theirs
            await asyncio.to_thread(servers.await_failover, victim, keys[0])
            assert not any(isinstance(reply, BaseException) for reply in await store.commands(commands))


async def test_a_slot_that_moved_is_found(catalogue: Catalogue) -> None:
    """Commands go to the node that has the slot now, in their order, and so do the next ones."""
    with running_cluster(replicas=0) as servers:
        async with real_store(servers.url) as store:
            key = store.keys.events(catalogue.streams()[0])
            await store.commands([("RPUSH", key, 0)])
            await asyncio.to_thread(servers.move_slots, [key])
            await store.commands([("RPUSH", key, number) for number in range(1, 20)])
            [items] = await store.commands([("LRANGE", key, 0, -1)])
            assert [int(item) for item in items] == list(range(20))


async def test_no_node_at_all() -> None:
    """Where nobody answers, that is the reply to each command."""
    store = connect(f"redis+cluster://127.0.0.1:{reserve()}", Keys("x"))
    for replies in (
        await store.commands([("XLEN", "a"), ("PING",)]),
        await store.followed([("XLEN", "a")] * 2, ("PING",)),
    ):
        assert len(replies) == 2
    [reply, _] = await store.commands([("XLEN", "a"), ("PING",)])
    assert isinstance(reply, STORE_ERRORS)
    await store.aclose()
