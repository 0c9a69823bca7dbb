"""What the servers of a store say of themselves: one, or every master of a Cluster."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from redis.asyncio import RedisCluster
from redis.exceptions import NoPermissionError

from config.errors import described
from router.store.client import Store
from router.store.errors import STORE_ERRORS, StoreRefused, StoreUnavailable, is_refusal, ours
from router.store.health.judgement import Server
from router.store.reading import named_values
from router.tasks.ending import in_time

_ANSWER = 0.8
"""Seconds to wait for the store when asked for readiness: who asks waits for one itself, most often, and must not take
a process that does without the store while it hangs for one that hangs."""

Ask = Callable[..., Awaitable[Any]]
"""Runs one command on one server."""


async def masters(store: Store) -> Mapping[str, Ask]:
    """Return what asks each master, by host:port for a Cluster; a store that is no Cluster has one, by the name "".

    Raises StoreUnavailable when a Cluster does not tell which they are.
    """
    client = store.client
    if not isinstance(client, RedisCluster):
        return {"": store.command}
    try:
        await client.initialize()
    except STORE_ERRORS as error:
        raise ours(error) from error
    return {node.name: partial(store.command, target_nodes=node) for node in client.get_primaries()}


async def ask_servers(store: Store, *, fsync: bool) -> list[Server]:
    """Ask all masters at once; raises StoreUnavailable as soon as one does not answer."""
    servers = await _ask_all(store, fsync=fsync)
    if isinstance(store.client, RedisCluster) and any(server.info.get("role") == "slave" for server in servers):
        # A client that was idle during a failover still takes the old masters for such.
        await store.client.nodes_manager.initialize()
        servers = await _ask_all(store, fsync=fsync)
    return servers


async def _ask_all(store: Store, *, fsync: bool) -> list[Server]:
    asked = await masters(store)
    return await asyncio.gather(*(ask_server(name, ask, fsync=fsync) for name, ask in asked.items()))


async def ask_server(name: str, ask: Ask, *, fsync: bool) -> Server:
    """Ask one server for its INFO and, for `fsync`, for WAITAOF; raises StoreUnavailable when it does not answer.

    For that it is also asked when it flushes, which managed servers do not tell; all else is INFO.
    """
    try:
        info = await ask("INFO")
    except StoreRefused as error:
        if is_denied(error):
            return Server(name, denied=str(error))
        raise
    if int(info.get("loading", 0)):
        # What it says of itself is not so until it has loaded: its append-only file, which it reads, seems to be off.
        raise StoreUnavailable("the server is loading its data")
    return Server(name, info, await _has_waitaof(ask), appendfsync=await _flushes(ask)) if fsync else Server(name, info)


def is_denied(error: BaseException) -> bool:
    """Return whether a command may not be used: an ACL forbids it, or the server does not have it (under that name)."""
    text = str(error).lower()
    return is_refusal(error) and (isinstance(error.__cause__ or error, NoPermissionError) or "unknown command" in text)


async def reply_if_allowed(ask: Ask, *command: str) -> Any:
    """Return what a server answers to a command; None where that may not be used."""
    try:
        return await ask(*command)
    except StoreRefused as error:
        if is_denied(error):
            return None
        raise


async def _flushes(ask: Ask) -> str:
    """Return when the server flushes its append-only file; empty where it does not tell."""
    if (found := await reply_if_allowed(ask, "CONFIG GET", "appendfsync")) is None:
        return ""
    value = next(iter(named_values(found).values()))
    return value.decode() if isinstance(value, bytes) else str(value)


async def _has_waitaof(ask: Ask) -> bool | None:
    # One word to redis-py, which would stumble over the empty answer for a command that is not there.
    found = await reply_if_allowed(ask, "COMMAND INFO", "waitaof")
    return None if found is None else found[0] is not None


async def store_check(store: Store) -> dict[str, bool | str]:
    """Return the readiness check that asks whether the store answers."""
    try:
        await in_time(_ANSWER, store.command("PING"))
    except TimeoutError:
        return {"store": f"no answer within {_ANSWER:g} s"}
    except STORE_ERRORS as error:
        return {"store": described(error)}
    return {"store": True}
