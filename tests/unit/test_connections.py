"""The kinds of connections to a store."""

from typing import Any

import pytest
from support.topologies import running_sentinels

from router.keys import Keys
from router.store import connect


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
