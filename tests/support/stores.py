"""Stores to test on: the fake one, and a real server that is started once for a process of tests."""

import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import fakeredis
from fakeredis.aioredis import FakeAsyncRedisConnection
from support.servers import starting

from router.store.client import Client, Store, connect
from router.store.connection_kinds import _Failing
from router.store.keys import Keys

__all__ = ["SERVER_URL", "fake_store", "fresh_keys", "real_store", "running_server"]

SERVER_URL = "TEST_REDIS_URL"
"""The environment variable that names a server to use instead of one of our own."""


class _FakeConnection(_Failing, FakeAsyncRedisConnection):
    """Loses no cancellation, as no connection of ours does; closed, it takes nothing any more."""

    async def disconnect(self, nowait: bool = False, **options: Any) -> None:  # noqa: FBT001, FBT002 - as redis-py
        """Close it, and have its server give up the read that blocks: it would take what comes for the next reader."""
        socket = getattr(self, "_sock", None)
        await super().disconnect(nowait, **options)
        if socket is not None and socket._blocked:
            with socket._server.lock:
                socket._unblock_reason = b"timeout"  # as CLIENT UNBLOCK does
                socket._db.wake_all()


class _FakeClient(fakeredis.FakeAsyncRedis):
    """Answers as redis-py does with `legacy_responses=False`: a dictionary for a read of a group, names as bytes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, connection_class=_FakeConnection, **kwargs)
        for read in ("XREAD", "XREADGROUP"):
            parse = self.response_callbacks[read]
            self.set_response_callback(read, lambda reply, parse=parse, **how: dict(parse(reply, **how) or ()))
        self.set_response_callback("XINFO", lambda reply, **_: [_named_in_bytes(row) for row in reply])


def _named_in_bytes(row: Any) -> Any:
    """Return a row of XINFO GROUPS so; what XINFO STREAM answers is a plain list on both sides."""
    if not isinstance(row, dict):
        return row
    return {name.encode() if isinstance(name, str) else name: value for name, value in row.items()}


def fresh_keys() -> Keys:
    """Return key names under a prefix that no other test has."""
    return Keys(f"test-{secrets.token_hex(6)}")


@asynccontextmanager
async def fake_store(keys: Keys | None = None, server: fakeredis.FakeServer | None = None) -> AsyncIterator[Store]:
    """Yield a store over a fakeredis server, which is one of its own unless given."""
    server = server or fakeredis.FakeServer()

    def connector(*, timeout: float, connections: int) -> Client:
        return _FakeClient(server=server)

    store = Store(connector, keys or fresh_keys())
    try:
        yield store
    finally:
        await store.aclose()


@asynccontextmanager
async def real_store(url: str, keys: Keys | None = None, **timeouts: float) -> AsyncIterator[Store]:
    """Yield a store on a real server, and delete its keys afterwards; its time-outs suit a machine that is busy."""
    store = connect(url, keys or fresh_keys(), **{"connect_timeout": 30, "timeout": 60} | timeouts)
    try:
        yield store
        async for key in store.client.scan_iter(match=f"{store.keys.prefix}:*", count=1000):
            await store.client.delete(key)
    finally:
        await store.aclose()


@contextmanager
def running_server() -> Iterator[str]:
    """Yield the URL of a server: the one that TEST_REDIS_URL names, or one of our own on a unix socket."""
    if url := os.environ.get(SERVER_URL):
        yield url
        return
    with (
        tempfile.TemporaryDirectory(prefix="er-test-") as folder,
        starting(socket_path=Path(folder, "s")) as server,
    ):
        yield server.url
