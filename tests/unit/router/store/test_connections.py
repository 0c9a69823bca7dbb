"""The kinds of connections to a store."""

from typing import Any

import pytest
from support.servers import starting
from support.topologies import running_sentinels

from router.store.client import connect
from router.store.connection_kinds import HandshakeRefused
from router.store.errors import StoreRefused
from router.store.keys import Keys


@pytest.mark.real
async def test_closing_a_store_leaves_no_connection_to_a_sentinel() -> None:
    """A store behind Sentinel closes what it opened to the Sentinels, too."""
    with running_sentinels() as sentinels:
        store = connect(sentinels.url, Keys("x"))
        await store.client.execute_command("PING")
        pool: Any = store.client.connection_pool  # type: ignore[union-attr]
        asked = [client.connection_pool for client in pool.sentinel_manager.sentinels]
        assert any(connection.is_connected for one in asked for connection in one._available_connections)
        await store.aclose()
        assert not any(connection.is_connected for one in asked for connection in one._available_connections)


@pytest.mark.real
async def test_an_unknown_command_is_not_quoted() -> None:
    """A server quotes what comes with a command that it does not know: a password with HELLO, a body with a script."""
    users = ("--user", "me", "on", ">canary", "~*", "+@all")
    with starting("--rename-command", "HELLO", "hidden", *users) as server:
        store = connect(server.url.replace("://", "://me:canary@"), Keys("x"))
        with pytest.raises(HandshakeRefused, match=r"^unknown command 'HELLO'$"):
            await store.client.execute_command("PING")
        await store.aclose()


@pytest.mark.real
async def test_what_a_script_was_given_is_not_quoted() -> None:
    """The same for what is sent in many at once."""
    with starting("--rename-command", "EVALSHA", "other") as server:
        store = connect(server.url, Keys("x"))
        for commands in ([("EVALSHA", "x", 0, "canary")], [("EVALSHA", "x", 0, "canary"), ("PING",)]):
            reply = (await store.commands(commands))[0]
            assert isinstance(reply, StoreRefused)
            assert str(reply.__cause__) == "unknown command 'EVALSHA'"
        await store.aclose()
