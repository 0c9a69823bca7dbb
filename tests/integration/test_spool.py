"""Ingress as a process whose store goes away: it answers from its spool, and makes up for it afterwards."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from support.processes import System, running_system
from support.servers import Server
from support.waiting import eventually

STREAM = "er:{visma-net-financial/customer_changed}:events"


@pytest.fixture
async def system(server: Server, tmp_path: Path) -> AsyncIterator[System]:
    """Yield a system on it, with ingress running."""
    async with running_system(
        tmp_path, ROUTER_REDIS__URL=server.url, ROUTER_INGRESS__STORE_TIMEOUT="0.5", ROUTER_REDIS__CONNECT_TIMEOUT="0.5"
    ) as system:
        await system.start("ingress")
        await system.ready()
        yield system


def ids(server: Server) -> list[str]:
    """Return the ids in the stream, in its order."""
    return [fields["id"] for _, fields in server.ask("XRANGE", STREAM, "-", "+")]


async def metric(system: System, name: str) -> float:
    """Return a metric of ingress."""
    async with aiohttp.ClientSession() as session, session.get(system.ops_url("/metrics")) as response:
        lines = (await response.text()).splitlines()
    return float(next(line.split()[-1] for line in lines if line.startswith(f"{name} ")))


async def test_a_killed_server_is_made_up_for(system: System, server: Server) -> None:
    """What came while the server was dead is in the stream afterwards, once, between what came before and after."""
    await system.post_many(["before"])
    server.kill()
    names = [f"n{number}" for number in range(100)]
    for name in names:
        assert await system.post([{"notificationId": name, "event": "customer_changed"}]) == (
            202,
            {"accepted": 1, "duplicates": 0, "quarantined": 0},
        )
    assert await metric(system, "event_router_spool_entries") == 100
    await system.ready()
    server.start()
    await eventually(lambda: len(ids(server)) == 101)
    await system.post_many([*names, "after"])
    await eventually(lambda: len(ids(server)) == 102)
    assert ids(server) == ["before", *names, "after"]


@pytest.mark.long
async def test_doctor_tells_what_a_running_ingress_spools(system: System, server: Server) -> None:
    """While ingress holds its spool, `doctor` says how much waits there and since when, and does not disturb it."""
    server.kill()
    await system.post_many(["one", "two"])
    code, out, _ = await system.run("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(out)["checks"]}
    (name,) = (name for name in checks if name.startswith("spool of "))
    assert (code, checks[name]["state"]) == (1, "warning")  # the store is away
    assert checks[name]["detail"].startswith("2 events, ")
    assert "in use by a running ingress" in checks["spool file 0.db"]["detail"]
    await system.post_many(["three"])
    server.start()
    await eventually(lambda: ids(server) == ["one", "two", "three"])


async def test_a_frozen_server_is_waited_for_no_longer_than_the_bound(system: System, server: Server) -> None:
    """A server that accepts and does not answer costs one bound; those after it are answered at once, once each."""
    server.freeze()
    clock = asyncio.get_running_loop().time
    started = clock()
    await asyncio.gather(*(system.post_many([f"n{number}"]) for number in range(20)))
    assert clock() - started < 5
    server.thaw()
    await eventually(lambda: len(ids(server)) == 20)
    await system.post_many(["last"])
    assert sorted(ids(server)[:-1]) == sorted(f"n{number}" for number in range(20))


async def test_what_a_killed_ingress_had_spooled_is_drained_by_the_next(system: System, server: Server) -> None:
    """A 202 from the spool holds when ingress is killed, and when it is the server that comes back later."""
    server.kill()
    await system.post_many(["a", "b", "c"])
    (process,) = system.processes
    process.kill()
    await process.wait()
    await system.start("ingress")
    await system.ready()
    assert await metric(system, "event_router_spool_entries") == 3
    await system.post_many(["d"])
    server.start()
    await eventually(lambda: ids(server) == ["a", "b", "c", "d"])


async def test_nothing_accepted_is_lost_with_the_files(system: System, server: Server) -> None:
    """The spool's files are deleted while Redis is away, then ingress is killed: what had a 202 is in the stream."""
    server.kill()
    accepted = [f"before{number}" for number in range(60)]
    await system.post_many(accepted)
    for file in (system.folder / "data" / "spool").iterdir():
        file.unlink()
    for number in range(40):
        status, _ = await system.post([{"notificationId": f"after{number}", "event": "customer_changed"}])
        if status == 202:
            accepted.append(f"after{number}")
    assert len(accepted) < 100
    async with aiohttp.ClientSession() as session, session.get(system.ops_url("/readyz")) as response:
        assert response.status == 503
    await eventually(lambda: '"spool_rescued"' in system.logs())
    (process,) = system.processes
    process.kill()
    await process.wait()
    await system.start("ingress")
    await system.ready()
    server.start()
    await eventually(lambda: sorted(ids(server)) == sorted(accepted), timeout=20)


async def test_a_stopping_ingress_takes_its_spool_along(system: System, server: Server) -> None:
    """An ingress told to stop in the middle of a drain moves what the store takes: its disk may go with it."""
    server.kill()
    await system.post_many([f"n{number}" for number in range(200)])
    server.start()
    (process,) = system.processes
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    left = [line for line in system.logs().splitlines() if '"spool_left"' in line]
    assert len(ids(server)) == 200 or left


async def test_a_server_out_of_memory_is_no_reason_to_refuse(system: System, server: Server) -> None:
    """A full server takes no appends; the spool does, until there is room again."""
    await system.post_many(["before"])
    server.ask("CONFIG", "SET", "maxmemory", "1")
    await system.post_many(["a", "b"])
    assert ids(server) == ["before"]
    server.ask("CONFIG", "SET", "maxmemory", "0")
    await eventually(lambda: ids(server) == ["before", "a", "b"])


async def test_without_a_spool_it_is_503(server: Server, tmp_path: Path) -> None:
    """`spool_max_bytes = 0` is for those whose senders repeat: the answer is 503, and no file is made."""
    async with running_system(tmp_path, ROUTER_REDIS__URL=server.url, ROUTER_INGRESS__SPOOL_MAX_BYTES="0") as system:
        await system.start("ingress")
        await system.ready()
        server.kill()
        status, _ = await system.post([{"notificationId": "a", "event": "customer_changed"}])
        assert status == 503
        assert not (tmp_path / "data" / "spool").exists()


async def test_ingress_starts_while_the_store_is_away(server: Server, tmp_path: Path) -> None:
    """The store need not be there first: what comes is spooled from the first request on."""
    server.kill()
    async with running_system(tmp_path, ROUTER_REDIS__URL=server.url) as system:
        await system.start("ingress")
        await system.ready()
        await system.post_many(["a"])
        server.start()
        await eventually(lambda: ids(server) == ["a"])


async def test_a_spool_that_cannot_be_written_is_refused_at_the_start(server: Server, tmp_path: Path) -> None:
    """Found at the start, not in the first outage: exit code 2, and a message that says what to do."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "spool").write_text("in the way")
    async with running_system(tmp_path, ROUTER_REDIS__URL=server.url) as system:
        process = await system.start("ingress")
        assert await process.wait() == 2
        assert "no spool in" in system.logs()
        assert "Traceback" not in system.logs()
