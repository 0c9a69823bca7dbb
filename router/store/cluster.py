"""Round trips on a Cluster: commands are sorted by the node that has their key, and each node gets its own in one go.

Those on one key stay in their order, which commands sent one by one over several connections would not. A node that
does not answer fails its own commands only.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
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
Run = Callable[[Any, Sequence[Command]], Awaitable[list[Any]]]


async def by_node(client: RedisCluster, commands: Sequence[Command]) -> list[Any]:
    """Run commands; an entry of the result is the reply or the exception. Those without a key go to every node."""

    async def run(node: Any, mine: Sequence[Command]) -> list[Any]:
        return await _on(client, node, mine) if node is not None else [await _alone(client, one) for one in mine]

    replies = await _spread(client, commands, run)
    for index, reply in enumerate(replies):
        if isinstance(reply, _REDIRECTED):
            replies[index] = await _alone(client, commands[index])
    return replies


async def followed_by(client: RedisCluster, commands: Sequence[Command], last: Command) -> list[tuple[Any, Any]]:
    """Run commands on keys, and after them `last` on each connection; return pairs of both replies.

    Nothing is redirected: where a slot has moved, that is the exception.
    """

    async def run(node: Any, mine: Sequence[Command]) -> list[Any]:
        *replies, reply = await _on(client, node, [*mine, last])
        return [(found, reply) for found in replies]

    pairs = await _spread(client, commands, run)
    return [pair if isinstance(pair, tuple) else (pair, pair) for pair in pairs]


async def _spread(client: RedisCluster, commands: Sequence[Command], run: Run) -> list[Any]:
    """Have each node run its commands; return what comes of each, or for all why it is not known who has which slots.

    That is asked where it is not known, or doubtful since a node failed.
    """
    try:
        await client.initialize()
    except STORE_ERRORS as error:
        return [error] * len(commands)
    places: dict[Any, list[int]] = {}
    for index, command in enumerate(commands):
        places.setdefault(_node_of(client, command), []).append(index)
    found = await asyncio.gather(*(run(node, [commands[index] for index in rows]) for node, rows in places.items()))
    replies: list[Any] = [None] * len(commands)
    for rows, of_node in zip(places.values(), found, strict=True):
        for index, reply in zip(rows, of_node, strict=True):
            replies[index] = reply
    return replies


def _node_of(client: RedisCluster, command: Command) -> Any:
    """Return the node of a command's key; None where it has none, or no known node has it."""
    if command[0] in _KEYLESS:
        return None
    try:
        return client.get_node_from_key(command[_key_at(command)])
    except RedisClusterException:
        return None


def _key_at(command: Command) -> int:
    """Return the place of the first key."""
    return command.index("STREAMS") + 1 if command[0] in _READS else _KEY_AT.get(command[0], 1)


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
