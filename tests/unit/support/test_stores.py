"""The fake store: what it does as a real server does, where the fake server itself does not."""

import asyncio

from support.stores import fake_store
from support.waiting import eventually

from router.store.read_connection import ReadConnection
from router.tasks.ending import end


async def test_a_closed_connection_takes_nothing_any_more() -> None:
    """What comes after a blocked read has been cancelled is there for the next reader of the same name."""
    async with fake_store() as store:
        key = store.keys.notices()
        await store.client.xgroup_create(key, "group", mkstream=True)
        command = ("XREADGROUP", "GROUP", "group", "reader", "BLOCK", 60_000, "STREAMS", key, ">")
        dead = ReadConnection(store, key, 60, unblockable=False)
        reading = asyncio.create_task(dead.run(*command))
        await eventually(lambda: _blocked(dead))
        await end([reading])
        await store.client.xadd(key, {"id": "later"})
        alive = ReadConnection(store, key, 60, unblockable=False)
        assert await asyncio.wait_for(alive.run(*command), 10)
        await alive.aclose()


def _blocked(connection: ReadConnection) -> bool:
    """Return whether the fake server blocks for it."""
    link = connection._connection and connection._connection.connection
    return bool(link and link._sock._blocked)
