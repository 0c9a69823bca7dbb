"""Connections that are closed while they are used, in the event loop that the router runs in."""

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any

import pytest
import uvloop
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AuthenticationError, BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError

from config.errors import causes
from router.store.client import Store, connect
from router.store.connection_kinds import Plain
from router.store.keys import Keys

pytestmark = pytest.mark.real


def in_uvloop(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


async def use_after_break(url: str) -> None:
    """Let a connection break between two commands, as a server that dies does it."""
    async with aclosing(connect(url, Keys("x"))) as store, aclosing(await store.reader("key", 1)) as server:
        client: Any
        async with aclosing(server.client()) as client:
            await client.ping()
            client.connection._writer.transport.abort()
            await asyncio.sleep(0)
            assert await client.ping()


async def use_while_closed(url: str) -> None:
    """Let a command take a broken connection that another one is about to close."""
    async with aclosing(connect(url, Keys("x"))) as store:
        await store.client.exists("key")
        node: Any = store.client.get_node_from_key("key")  # type: ignore[union-attr]
        for connection in node._free:
            connection._writer.transport.abort()
        await asyncio.sleep(0)
        closing = asyncio.create_task(node.disconnect_free_connections())
        command = asyncio.create_task(node.execute_command("EXISTS", "key"))
        [outcome] = await asyncio.gather(command, return_exceptions=True)
        await closing
        assert outcome == 0 or isinstance(outcome, RedisConnectionError)
        assert await store.client.exists("key") == 0


def test_a_connection_that_broke_since_its_last_use(server_url: str) -> None:
    """Its next use makes a new one."""
    in_uvloop(use_after_break(server_url))


@pytest.mark.cluster
def test_a_connection_to_a_node_that_broke_since_its_last_use(cluster_url: str) -> None:
    """The same holds for readers on a Cluster."""
    in_uvloop(use_after_break(cluster_url))


@pytest.mark.cluster
def test_a_connection_that_another_command_closes(cluster_url: str) -> None:
    """A command that fails closes the idle connections to its node, one of which was just taken for another."""
    in_uvloop(use_while_closed(cluster_url))


@pytest.mark.parametrize("kind", [BusyLoadingError, AuthenticationError])
async def test_an_error_of_its_own_kind_is_passed_on_as_it_is(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a server refuses in its own words is not said to come of itself: who follows the causes would never end."""
    error = kind("refused")

    async def refuse(*_args: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr("redis.asyncio.connection.AbstractConnection.read_response", refuse)
    with pytest.raises(kind) as raised:
        await Plain().read_response()
    assert list(causes(raised.value)) == [error]
    assert raised.value.__cause__ is not error


async def test_a_cancellation_as_a_command_is_sent(real_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the task, though `wait_for` of Python 3.11 loses it; the command's reply is not taken for another's."""
    sent = AbstractConnection._send_packed_command

    async def asking() -> None:
        task = asyncio.current_task()
        assert task is not None

        async def cancelled(self: AbstractConnection, command: Any) -> None:
            await sent(self, command)
            task.cancel()

        monkeypatch.setattr(AbstractConnection, "_send_packed_command", cancelled)
        try:
            await real_store.command("ECHO", "lost")
        finally:
            monkeypatch.undo()

    await real_store.command("ECHO", "before")
    task = asyncio.create_task(asking())
    await asyncio.wait([task])
    assert task.cancelled()
    assert await real_store.command("ECHO", "after") == b"after"
