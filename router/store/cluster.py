"""Round trips on a Cluster: commands are sorted by the node that has their key, and each node gets its own in one go.

Those on one key stay in their order, which commands sent one by one over several connections would not. A node that
does not answer fails its own commands only.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import RedisCluster
from redis.exceptions import AskError, MovedError, RedisClusterException, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from router.store.errors import STORE_ERRORS

_GONE = (RedisConnectionError, RedisTimeoutError, OSError)
_REDIRECTED = (MovedError, AskError, TryAgainError)
_KEYLESS = frozenset({"ACL", "CLIENT", "COMMAND", "CONFIG", "INFO", "PING", "SCRIPT", "TIME"})
_READS = frozenset({"XREAD", "XREADGROUP"})
_KEY_AT = {"EVAL": 3, "EVALSHA": 3, "XINFO": 2, "XGROUP": 2}

Command = tuple[Any, ...]


async def by_node(client: RedisCluster, commands: Sequence[Command]) -> list[Any]:
    """Run commands; an entry of the result is the reply or the exception. Those without a key go to every node."""
    if (error := await _find_nodes(client)) is not None:
        return [error] * len(commands)
    replies: list[Any] = [None] * len(commands)
    await asyncio.gather(*(_fill(client, node, commands, rows, replies) for node, rows in _sorted(client, commands)))
    for index, reply in enumerate(replies):
        if isinstance(reply, _REDIRECTED):
            replies[index] = await _alone(client, commands[index])
    return replies


async def followed_by(client: RedisCluster, commands: Sequence[Command], last: Command) -> list[tuple[Any, Any]]:
    """Run commands on keys, and after them `last` on each connection; return pairs of both replies.

    Nothing is redirected: where a slot has moved, that is the exception.
    """
    if (error := await _find_nodes(client)) is not None:
        return [(error, error)] * len(commands)
    pairs: list[tuple[Any, Any]] = [(None, None)] * len(commands)

    async def fill(node: Any, rows: Sequence[int]) -> None:
        *replies, reply = await _on(client, node, [*(commands[index] for index in rows), last])
        for index, found in zip(rows, replies, strict=True):
            pairs[index] = (found, reply)

    await asyncio.gather(*(fill(node, rows) for node, rows in _sorted(client, commands)))
    return pairs


async def _find_nodes(client: RedisCluster) -> BaseException | None:
    """Ask who has which slots where that is not known, or doubtful since a node failed; return why it cannot be."""
    try:
        await client.initialize()
    except STORE_ERRORS as error:
        return error
    return None


def _sorted(client: RedisCluster, commands: Sequence[Command]) -> list[tuple[Any, list[int]]]:
    """Return the nodes and the places of their commands; None is the node of what has no key, or no known node."""
    found: dict[Any, list[int]] = {}
    for index, command in enumerate(commands):
        found.setdefault(_node_of(client, command), []).append(index)
    return list(found.items())


def _node_of(client: RedisCluster, command: Command) -> Any:
    if command[0] in _KEYLESS:
        return None
    try:
        return client.get_node_from_key(command[_key_at(command)])
    except RedisClusterException:
        return None


def _key_at(command: Command) -> int:
    """Return the place of the first key."""
    return command.index("STREAMS") + 1 if command[0] in _READS else _KEY_AT.get(command[0], 1)


async def _fill(
    client: RedisCluster, node: Any, commands: Sequence[Command], rows: Sequence[int], replies: list[Any]
) -> None:
    mine = [commands[index] for index in rows]
    found = await _on(client, node, mine) if node is not None else [await _alone(client, command) for command in mine]
    for index, reply in zip(rows, found, strict=True):
        replies[index] = reply


async def _on(client: RedisCluster, node: Any, commands: Sequence[Command]) -> list[Any]:
    """Run commands on one node, all on one connection."""
    if node is None:
        return [RedisClusterException("no node of the cluster has this key")] * len(commands)
    pipeline = client.pipeline()
    for command in commands:
        pipeline.execute_command(*command, target_nodes=node)
    try:
        replies: list[Any] = await pipeline.execute(raise_on_error=False, allow_redirections=False)
    except STORE_ERRORS as error:
        replies = [error] * len(commands)
    if any(isinstance(reply, _GONE) for reply in replies):
        # As it does itself for a single command: the next one asks who has the slots now.
        client._initialize = True  # noqa: SLF001
    return replies


async def _alone(client: RedisCluster, command: Command) -> Any:
    try:
        return await client.execute_command(*command)
    except STORE_ERRORS as error:
        return error
