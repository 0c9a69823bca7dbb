"""Trying whether a role may do what it does: without a trace, and in one judgement."""

from pathlib import Path

import pytest
from support.guarded import guarded_server
from support.ports import reserve
from support.servers import Server, starting
from support.stores import fresh_keys
from support.waiting import eventually

from router.store.client import Store, connect
from router.store.errors import StoreUnavailable
from router.store.health.rights import Role, judge_rights, try_rights
from router.store.keys import Keys

ALL = ("--user", "default", "on", "nopass", "~*", "&*", "+@all")
ROLES: tuple[Role, ...] = ("ingress", "worker")


async def checks(server: Server, *roles: Role) -> dict[str, str]:
    """Return what is found wrong, by the name of the check."""
    store = connect(server.url, fresh_keys())
    try:
        return {check.name: check.detail for check in judge_rights(await try_rights(store, roles), server.url)}
    finally:
        await store.aclose()


async def test_who_may_do_it_all(store: Store) -> None:
    """Nothing is found where everything is allowed, on one server and on a Cluster, and no key is made by looking."""
    assert [*judge_rights(await try_rights(store, ROLES), "redis+cluster://h")] == []
    assert [key async for key in store.client.scan_iter(match=f"{store.keys.prefix}:*")] == []


@pytest.mark.real
@pytest.mark.parametrize("cluster", [False, True])
async def test_the_users_of_the_file_may_do_it(tmp_path: Path, *, cluster: bool) -> None:
    """Ingress and worker may do what their role needs with their own users, and not what the other one needs."""
    async with guarded_server(tmp_path, cluster=cluster) as server:
        for role, other in (ROLES, ROLES[::-1]):
            store = connect(server.url(f"er-{role}"), Keys("er"))
            assert [*judge_rights(await try_rights(store, [role]), server.url())] == []
            assert server.refusals() == []
            [check] = judge_rights(await try_rights(store, [other]), server.url())
            assert (check.name, check.refused) == ("commands", True)
            server.ask("ACL", "LOG", "RESET")
            await store.aclose()


@pytest.mark.real
@pytest.mark.parametrize(
    ("rules", "roles", "named"),
    [
        (("-eval", "-evalsha"), ROLES, "EVALSHA"),
        (("-eval",), ROLES, "EVALSHA"),
        (("-@scripting",), ROLES, "EVALSHA"),
        (("-xadd",), ("ingress",), "XADD"),
        (("-set", "-exists"), ("ingress",), "EXISTS, SET"),
        (("-xreadgroup",), ("worker",), "XREADGROUP"),
        (("-xgroup",), ("worker",), "XGROUP CREATE"),
        (("resetkeys", "~other:*"), ("ingress",), "EVALSHA, EXISTS, XADD, SET"),
    ],
)
async def test_what_an_acl_forbids(rules: tuple[str, ...], roles: tuple[Role, ...], named: str) -> None:
    """Whatever a role cannot do without is named in one check, which refuses; the other role runs."""
    with starting(*ALL, *rules) as server:
        for role in ROLES:
            found = await checks(server, role)
            assert list(found) == (["commands"] if role in roles or "~other:*" in rules else [])
        assert f"may not run {named} (" in (await checks(server, roles[0]))["commands"]


@pytest.mark.real
@pytest.mark.parametrize("command", ["EVALSHA", "EVAL", "XREADGROUP", "XGROUP"])
async def test_what_was_renamed(command: str) -> None:
    """A command that the server has under another name only is missing, and the error's text quotes no argument."""
    with starting("--rename-command", command, "hidden") as server:
        found = await checks(server, "worker")
        assert command in found["commands"] or command == "EVAL"
        assert "args beginning" not in found["commands"]


@pytest.mark.real
async def test_a_server_in_cluster_mode_is_told_without_info() -> None:
    """A user who may not ask INFO finds out by what he needs, as ingress too, that he speaks to a Cluster."""
    nodes = ("--cluster-enabled", "yes", "--cluster-port", str(reserve()))
    with starting(*nodes, *ALL, "-info") as server:
        server.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
        await eventually(lambda: "cluster_state:ok" in server.ask("CLUSTER", "INFO"))
        for role in ROLES:
            assert list(await checks(server, role)) == ["deployment"]


@pytest.mark.real
async def test_a_full_server_and_a_replica_forbid_nothing() -> None:
    """What only this moment forbids is no matter of rights."""
    with starting("--maxmemory", "1mb", "--maxmemory-policy", "noeviction") as server:
        assert await checks(server, *ROLES) == {}
    with starting("--replicaof", "127.0.0.1", "1") as server:
        assert await checks(server, *ROLES) == {}


async def test_a_store_that_is_away_is_not_judged() -> None:
    """Without an answer nothing is known."""
    store = connect("redis://127.0.0.1:1", fresh_keys(), connect_timeout=1)
    with pytest.raises(StoreUnavailable):
        await try_rights(store, ROLES)
    assert await try_rights(store, []) == []
    await store.aclose()
