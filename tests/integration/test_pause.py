"""A pause, with real processes: a worker under load, one that is killed, one that is started meanwhile."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from support.processes import System, running_system
from support.servers import starting
from support.waiting import eventually

pytestmark = pytest.mark.real

MODULE = """
sync = Subscription("sync", events=["*"], concurrency=4)
other = Subscription("other", events=["*"], concurrency=4)

@sync.handler
async def handle(event: Event) -> None:
    await asyncio.sleep(0.01)
    note("sync", event)

@other.handler
async def handle_too(event: Event) -> None:
    note("other", event)
"""


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    """Yield a system on a server of its own, with an ingress and a worker."""
    with starting() as server:
        async with running_system(tmp_path, ROUTER_REDIS__URL=server.url) as running:
            module = running.module(MODULE)
            await running.start("ingress", ROUTER_OPS__PORT="0")
            await running.start("worker", module)
            await running.ready()
            await eventually(lambda: '"ingress_started"' in running.logs())
            yield running


async def _warnings(system: System) -> dict[str, str]:
    async with aiohttp.ClientSession() as session, session.get(system.ops_url("/readyz")) as response:
        assert response.status == 200
        return dict((await response.json()).get("warnings", {}))


@pytest.mark.long
async def test_pause_under_load(system: System) -> None:
    """Once acknowledged nothing more is handled, whoever dies and starts meanwhile; resumed, all is, each once."""
    ids = [f"e{number}" for number in range(400)]
    await system.post_many(ids[:200])
    await eventually(lambda: system.handled("sync"))
    code, said, err = await system.run("subscriptions", "pause", "sync", "--reason", "ERP closed")
    assert code == 0, err
    assert "1 of 1 worker has stopped taking events" in said
    assert "ERP closed" in (await _warnings(system))["sync"]
    await system.post_many(ids[200:])
    await eventually(lambda: set(ids) == set(system.handled("other")))
    handled = system.handled("sync")
    assert not set(handled) & set(ids[200:])

    system.processes[-1].send_signal(signal.SIGKILL)
    await system.processes[-1].wait()
    await system.start("worker", str(system.folder / "handlers.py"))
    await system.ready()
    await system.post_many(["one-more"])
    await eventually(lambda: "one-more" in system.handled("other"))
    assert "sync" in await _warnings(system)
    assert sum(system.handled("sync").values()) <= sum(handled.values()) + 4  # those that ran

    code, said, err = await system.run("subscriptions", "resume", "sync")
    assert code == 0, err
    await eventually(lambda: {*ids, "one-more"} == set(system.handled("sync")))
    assert set(system.handled("sync").values()) == {1}
    assert "sync" not in await _warnings(system)


@pytest.mark.long
async def test_top_and_list_show_it(system: System) -> None:
    """What is paused is seen wherever one looks, with the events that gather meanwhile."""
    await system.run("subscriptions", "pause", "sync", "--for", "1h")
    await system.post_many(["e1", "e2"])
    await eventually(lambda: len(system.handled("other")) == 2)
    rows = {row["name"]: row for row in await system.json("subscriptions", "list")}
    assert (rows["sync"]["lag"], rows["other"]["paused"]) == (2, None)
    assert rows["sync"]["paused"]["until"] is not None
    code, text, _ = await system.run("top", "--once", "--interval", "0.1")
    assert code == 0
    (line,) = [line.split() for line in text.splitlines() if line.startswith("sync")]
    assert line[-1] == "paused"
    frame = json.loads((await system.run("top", "--once", "--json", "--interval", "0.1"))[1])
    assert [row["workers"] for row in frame["subscriptions"]] == [1, 1]
    assert "sync: paused since" in (await system.run("streams"))[2]
    await asyncio.gather(system.run("subscriptions", "resume", "sync"))
    await eventually(lambda: len(system.handled("sync")) == 2)
