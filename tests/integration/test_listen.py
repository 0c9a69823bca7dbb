"""`listen`, as a process beside a real server and a receiver."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.filling import CUSTOMERS, put_events
from support.receiver import OK, Receiver, Request, receiving
from support.waiting import eventually

import router
from router.store.client import Store
from workers.operations.audit import lines

pytestmark = pytest.mark.real


@contextlib.asynccontextmanager
async def listening(
    receiver: Receiver, server_url: str, store: Store, folder: Path, *more: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Yield a running `listen` that posts to a receiver, and end it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "router.cli.main", "listen", "customer_*"),
        *("--to", f"http://127.0.0.1:{receiver.port}/hook", *more),
        cwd=folder,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("ROUTER_")},
            "PYTHONPATH": str(Path(router.__file__).parents[1]),
            "ROUTER_REDIS__URL": server_url,
            "ROUTER_REDIS__PREFIX": store.keys.prefix,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def ids(receiver: Receiver) -> list[str]:
    """Return the ids of the events that were posted."""
    return [request.event_id for request in receiver.requests]


async def test_what_comes_is_posted_until_ctrl_c(real_store: Store, server_url: str, tmp_path: Path) -> None:
    """It begins with the last events, goes on with those that come, in order, and ends well."""
    await put_events(real_store, "old", "e1", "e2")
    async with (
        receiving() as receiver,
        listening(receiver, server_url, real_store, tmp_path, "--replay-last", "2") as process,
    ):
        await eventually(lambda: len(receiver.requests) == 2)
        await put_events(real_store, "e3", "e4")
        await eventually(lambda: len(receiver.requests) == 4)
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 30) == 0
    assert ids(receiver) == ["e1", "e2", "e3", "e4"]


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
async def test_one_that_a_signal_ends_is_audited_as_finished(
    real_store: Store, server_url: str, tmp_path: Path, ended_by: signal.Signals
) -> None:
    """Ended by a signal amid an exchange it is audited under its own name as finished, without an error."""
    await put_events(real_store, "e1", "e2")

    async def second_waits(request: Request) -> bytes:
        if request.event_id == "e2":
            await asyncio.Event().wait()
        return OK

    async with (
        receiving(second_waits) as receiver,
        listening(receiver, server_url, real_store, tmp_path, "--replay-last", "2") as process,
    ):
        await eventually(lambda: len(receiver.requests) == 2)
        process.send_signal(ended_by)
        assert await asyncio.wait_for(process.wait(), 30) == 0
    [line] = [line async for line in lines(real_store)]
    assert (line.verb, line.finished, line.error, line.matched) == ("listen", True, "", 1)


async def test_killed_it_leaves_nothing_behind(real_store: Store, server_url: str, tmp_path: Path) -> None:
    """After `kill -9` amid an exchange there is no group and no key but the audit: retention waits for nothing."""
    await put_events(real_store, "e1", "e2")

    async def keys() -> set[bytes]:
        return set(await real_store.client.keys(f"{real_store.keys.prefix}:*"))

    async def never(request: object) -> bytes:
        await asyncio.Event().wait()
        return b""

    before = await keys()
    async with (
        receiving(never) as receiver,
        listening(receiver, server_url, real_store, tmp_path, "--replay-last", "2") as process,
    ):
        await eventually(lambda: receiver.requests)
        assert await real_store.client.xinfo_groups(real_store.keys.events(CUSTOMERS)) == []
        process.kill()
        await process.wait()
    assert await keys() - before == {real_store.keys.audit().encode()}
    assert await real_store.client.xinfo_groups(real_store.keys.events(CUSTOMERS)) == []


async def test_a_receiver_that_is_restarted_misses_nothing(real_store: Store, server_url: str, tmp_path: Path) -> None:
    """What comes while nobody listens at the URL is posted once somebody does."""
    stack = contextlib.AsyncExitStack()
    first = await stack.enter_async_context(receiving())
    async with stack, listening(first, server_url, real_store, tmp_path, "--replay-last", "1") as process:
        assert process.stdout is not None
        await put_events(real_store, "e1")
        await eventually(lambda: ids(first) == ["e1"])
        await stack.aclose()
        await put_events(real_store, "e2", "e3")
        async with asyncio.timeout(30):
            while b": waiting" not in await process.stdout.readline():
                pass
        async with receiving(port=first.port) as second:
            await eventually(lambda: ids(second) == ["e2", "e3"])
