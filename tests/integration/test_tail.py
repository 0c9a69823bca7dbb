"""`events tail`, as a process beside a real server."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.filling import CUSTOMERS, FINANCIAL, put_events
from support.servers import starting
from support.stores import real_store as on_real_server
from support.waiting import eventually

import router
from router.store.client import Store
from workers.operations.audit import lines

pytestmark = pytest.mark.real

SUPPLIERS = f"{FINANCIAL}/supplier_changed"


class Tail:
    """A running `events tail`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        """Return the next line."""
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), 30)).decode()

    async def ids(self, number: int) -> list[str]:
        """Return the ids of the next events."""
        return [json.loads(await self.line())["id"] for _ in range(number)]

    async def said(self, words: str) -> None:
        """Wait until it says something on stderr."""
        assert self.process.stderr is not None
        async with asyncio.timeout(30):
            while words not in (line := (await self.process.stderr.readline()).decode()):
                assert line, f"it ended without {words!r}"

    async def interrupt(self) -> int:
        """Press Ctrl-C; return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return await asyncio.wait_for(self.process.wait(), 30)


def environment(url: str, prefix: str) -> Mapping[str, str]:
    """Return the environment of a command on a store."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("ROUTER_")},
        "PYTHONPATH": str(Path(router.__file__).parents[1]),
        "ROUTER_REDIS__URL": url,
        "ROUTER_REDIS__PREFIX": prefix,
    }


async def started(
    *arguments: str, url: str, store: Store, folder: Path, stdout: int = asyncio.subprocess.PIPE
) -> asyncio.subprocess.Process:
    """Start a command on a store; `stdout` is a descriptor, or a pipe of its own."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "router.cli.main", *arguments),
        cwd=folder,
        env=environment(url, store.keys.prefix),
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
    )


@contextlib.asynccontextmanager
async def tailing(*arguments: str, url: str, store: Store, folder: Path) -> AsyncIterator[Tail]:
    """Yield a running `events tail`, and end it."""
    process = await started("events", "tail", *arguments, url=url, store=store, folder=folder)
    try:
        yield Tail(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@pytest.fixture(params=["real", pytest.param("cluster", marks=[pytest.mark.cluster, pytest.mark.long])])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[dict[str, Any]]:
    """Yield the URL of a server or a Cluster and a store on it."""
    url = request.getfixturevalue("server_url" if request.param == "real" else "cluster_url")
    async with on_real_server(url) as store:
        yield {"url": url, "store": store}


@pytest.mark.parametrize(
    "arguments",
    [
        ("events", "tail"),
        ("events", "tail", "--json", "--reveal"),
        pytest.param(("events", "tail", "--until", "2100-01-01"), marks=pytest.mark.long),
        ("dlq", "watch"),
    ],
)
async def test_it_ends_when_its_reader_has_gone(
    arguments: tuple[str, ...], server_url: str, real_store: Store, tmp_path: Path
) -> None:
    """As in `| head -1`: at once and without an error, though nothing comes that could not be written."""
    await real_store.client.xgroup_create(real_store.keys.events(CUSTOMERS), "sub", mkstream=True)
    reading, writing = os.pipe()
    process = await started(*arguments, url=server_url, store=real_store, folder=tmp_path, stdout=writing)
    os.close(writing)
    try:
        await eventually(lambda: _waits(real_store))
        os.close(reading)
        _, said = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
    assert (process.returncode, [line for line in said.splitlines() if b'"audited"' not in line]) == (0, [])
    assert [line.error async for line in lines(real_store)] == [""] * ("--reveal" in arguments)


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("arguments", [("events", "tail", "--json", "--reveal"), ("dlq", "watch")])
async def test_a_signal_ends_it_well(
    arguments: tuple[str, ...], ended_by: signal.Signals, server_url: str, real_store: Store, tmp_path: Path
) -> None:
    """Whichever way it is ended, that is no failure: exit code 0, no error, a line of the audit that is finished."""
    await put_events(real_store, "e1", "e2")
    await real_store.client.xgroup_create(real_store.keys.events(CUSTOMERS), "sub")
    process = await started(*arguments, url=server_url, store=real_store, folder=tmp_path)
    try:
        await eventually(lambda: _waits(real_store))
        process.send_signal(ended_by)
        shown, said = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
    reveals = "--reveal" in arguments
    assert (process.returncode, [json.loads(line)["event"] for line in said.splitlines()]) == (0, ["audited"] * reveals)
    assert shown.count(b"\n") == 2 * reveals
    audited = [(line.verb, line.finished, line.error, line.matched) async for line in lines(real_store)]
    assert audited == [("reveal", True, "", 2)] * reveals


async def _waits(store: Store) -> bool:
    """Return whether a client of the server waits for what comes."""
    clients: Any = await store.client.client_list()
    return any(client["cmd"] == "xread" and "b" in client["flags"] for client in clients)


async def test_past_and_coming(place: dict[str, Any], tmp_path: Path) -> None:
    """The last few events come first, in their order; then what comes into any of the streams; Ctrl-C is no failure."""
    store = place["store"]
    await put_events(store, *(f"old{number}" for number in range(5)))
    async with tailing("--json", "--lines", "2", **place, folder=tmp_path) as tail:
        assert await tail.ids(2) == ["old3", "old4"]
        await put_events(store, "new1")
        assert await tail.ids(1) == ["new1"]
        await put_events(store, "new2", stream=SUPPLIERS)
        assert await tail.ids(1) == ["new2"]
        assert await tail.interrupt() == 0


async def test_filters(place: dict[str, Any], tmp_path: Path) -> None:
    """What the filter leaves out is not shown, of the past as of what comes."""
    store = place["store"]
    await put_events(store, "a", resource="customer/1")
    await put_events(store, "b", resource="customer/2", company=8)
    options = ("customer_*", "--json", "--since", "1h", "--resource", "customer/2", "--company", "8")
    async with tailing(*options, **place, folder=tmp_path) as tail:
        assert await tail.ids(1) == ["b"]
        await put_events(store, "c", stream=SUPPLIERS, resource="customer/2", company=8)
        await put_events(store, "d", resource="customer/2", company=7)
        await put_events(store, "e", resource="customer/2", company=8)
        assert await tail.ids(1) == ["e"]


async def test_lines_for_people(place: dict[str, Any], tmp_path: Path) -> None:
    """Without --json a line tells when, what, which and whose; one that is no event is told of on stderr."""
    store = place["store"]
    await put_events(store, "e1", resource="customer/55", company=7)
    async with tailing(**place, folder=tmp_path) as tail:
        stamp, *cells = (await tail.line()).split()
        assert stamp.endswith("Z")
        assert cells == ["customer_changed", "customer/55", "7", "changed", "e1"]
        await store.client.xadd(store.keys.events(CUSTOMERS), {"x": "y"})
        await tail.said("is no event")


async def test_until(place: dict[str, Any], tmp_path: Path) -> None:
    """With a time to end at, it ends then by itself."""
    await put_events(place["store"], "e1")
    async with tailing("--json", "--until", "2100-01-01", **place, folder=tmp_path) as tail:
        assert await tail.ids(1) == ["e1"]
        assert await tail.interrupt() == 0
    async with tailing("--json", "--until", "1h", **place, folder=tmp_path) as tail:
        assert await tail.line() == ""
        assert await asyncio.wait_for(tail.process.wait(), 30) == 0


async def test_no_lines(place: dict[str, Any], tmp_path: Path) -> None:
    """With --lines 0 it begins with what comes."""
    await put_events(place["store"], "old")
    async with tailing("--json", "--lines", "0", **place, folder=tmp_path) as tail:

        async def feed() -> None:
            number = 0
            while True:  # it is not known when it has begun
                number += 1
                await put_events(place["store"], f"new{number}")
                await asyncio.sleep(0.1)

        feeding = asyncio.create_task(feed())
        (found,) = await tail.ids(1)
        feeding.cancel()
        await asyncio.wait([feeding])
        assert found.startswith("new")


async def test_a_store_that_goes_away(tmp_path: Path) -> None:
    """While the store is away it waits and says so, and then goes on without a gap."""
    with starting() as server:
        async with on_real_server(server.url) as store:
            await put_events(store, "e1")
            async with tailing("--json", url=server.url, store=store, folder=tmp_path) as tail:
                assert await tail.ids(1) == ["e1"]
                server.kill()
                await tail.said("the store does not answer, waiting for it")
                server.start()
                await eventually(lambda: _is_up(store))
                await put_events(store, "e2")
                assert await tail.ids(1) == ["e2"]
                await tail.said("answers again")
                assert await tail.interrupt() == 0


async def test_a_store_that_is_away_at_the_start(tmp_path: Path) -> None:
    """A store that cannot be reached at all is an error, as for every other command."""
    with starting() as server:
        url = server.url
        async with on_real_server(url) as store:
            server.kill()
            async with tailing(url=url, store=store, folder=tmp_path) as tail:
                await tail.said("cannot be used")
                assert await asyncio.wait_for(tail.process.wait(), 30) == 4
            server.start()
            await eventually(lambda: _is_up(store))


async def _is_up(store: Store) -> bool:
    (reply,) = await store.commands([("PING",)])
    return not isinstance(reply, BaseException)


async def test_a_reader_that_has_gone(place: dict[str, Any], tmp_path: Path) -> None:
    """Whoever read the output and has gone, such as `head`, ends it without an error."""
    await put_events(place["store"], "e1")
    async with tailing("--json", **place, folder=tmp_path) as tail:
        assert await tail.ids(1) == ["e1"]
        transport = tail.process._transport.get_pipe_transport(1)  # type: ignore[attr-defined]
        transport.close()

        async def feed() -> None:
            number = 0
            while True:
                number += 1
                await put_events(place["store"], f"new{number}")
                await asyncio.sleep(0.1)

        feeding = asyncio.create_task(feed())
        assert await asyncio.wait_for(tail.process.wait(), 30) == 0
        feeding.cancel()
        await asyncio.wait([feeding])
