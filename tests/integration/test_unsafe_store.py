"""Real processes on stores that would lose events: refused, stopped, or loud."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.ports import reserve
from support.processes import System, running_system
from support.servers import Server
from support.waiting import eventually

pytestmark = pytest.mark.real

EVICTING = ("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
MODULE = """
everything = Subscription("everything", events=["*"])

@everything.handler
async def handle(event: Event) -> None:
    note("everything", event)
"""


def long(*values: object) -> Any:
    """Leave this one of many cases to the tests that take long."""
    return pytest.param(*values, marks=pytest.mark.long)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Yield a server that does not run yet, and that evicts."""
    server = Server(tmp_path / "server", *EVICTING)
    yield server
    server.kill()


@pytest.fixture
async def system(tmp_path: Path, server: Server) -> AsyncIterator[System]:
    """Yield a system on that server that runs nothing yet."""
    async with running_system(tmp_path, ROUTER_REDIS__URL=server.url) as running:
        running.module(MODULE)
        yield running


async def read(system: System, path: str) -> str:
    """Return what the operations port answers."""
    async with aiohttp.ClientSession() as session, session.get(system.ops_url(path)) as response:
        assert response.status == 200
        return await response.text()


@pytest.mark.parametrize(
    "command", [["ingress"], long(["ingress", "--processes", "2"]), ["worker", "handlers.py"], long(["up"])]
)
async def test_an_evicting_store_is_refused(system: System, server: Server, command: list[str]) -> None:
    """Whatever is started on it ends with exit code 2, the fault and what to do, said once, and no traceback."""
    server.start()
    code, _, err = await asyncio.wait_for(system.run(*command), 30)
    assert code == 2
    assert "maxmemory-policy noeviction" in err
    assert err.count("event-router: ") == 1
    assert "Traceback" not in err


ALL = ("--user", "default", "on", "nopass", "~*", "&*", "+@all")
NODES = ("--cluster-enabled", "yes")
WORKER, INGRESS = ["worker", "handlers.py"], ["ingress"]


@pytest.mark.parametrize("command", [INGRESS, long(["ingress", "--processes", "2"]), long(WORKER), long(["up"])])
async def test_a_server_in_cluster_mode_is_refused_behind_another_url(
    system: System, server: Server, command: list[str]
) -> None:
    """Instead of accepting what nobody would ever handle, each start says which URL to write, and `doctor` fails."""
    server.options = [*NODES, "--cluster-port", str(reserve())]
    server.start()
    server.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
    await eventually(lambda: "cluster_state:ok" in server.ask("CLUSTER", "INFO"))
    code, _, err = await asyncio.wait_for(system.run(*command), 30)
    assert code == 2
    assert "write redis+cluster:// in place of redis://" in err
    assert err.count("event-router: ") == 1
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("command", "options", "scheme", "said"),
    [
        long(INGRESS, [], "redis+cluster", "write redis:// in place of redis+cluster://"),
        long(WORKER, [], "redis+cluster", "write redis:// in place of redis+cluster://"),
        (INGRESS, ["--rename-command", "HELLO", ""], "redis", "it does not know HELLO"),
        long(WORKER, ["--rename-command", "EVALSHA", ""], "redis", "may not run EVALSHA"),
        long(INGRESS, [*ALL, "-eval", "-evalsha"], "redis", "may not run EVALSHA"),
        long(WORKER, [*ALL, "-xreadgroup"], "redis", "may not run XREADGROUP"),
        long(WORKER, [*ALL, "-xgroup"], "redis", "may not run XGROUP"),
    ],
)
async def test_a_store_that_cannot_be_worked_with_is_refused_in_a_line(
    system: System, server: Server, command: list[str], options: list[str], scheme: str, said: str
) -> None:
    """What no waiting can mend is one clear refusal at the start, and not a line a second, or a stream."""
    server.options = options
    server.start()
    url = server.url.replace("redis", scheme)
    code, _, err = await asyncio.wait_for(system.run(*command, ROUTER_REDIS__URL=url), 30)
    assert code == 2
    assert said in err
    assert len([line for line in err.splitlines() if "no_secret" not in line]) <= 3
    assert "Traceback" not in err
    code, out, _ = await system.run("doctor", ROUTER_REDIS__URL=url)
    assert code == 1
    assert said in out


@pytest.mark.parametrize(
    ("options", "scheme", "said"),
    [
        (["--requirepass", "hidden"], "redis", "write user and password into redis.url"),
        ([*NODES], "redis+cluster", "no node of the Cluster has any slots"),
    ],
    ids=["no password", "no slots"],
)
async def test_doctor_says_what_a_store_waits_for(
    system: System, server: Server, options: list[str], scheme: str, said: str
) -> None:
    """A server that wants a password and a Cluster that nobody has made are failed checks: no hang, no traceback."""
    server.options = [*options, *(["--cluster-port", str(reserve())] if options == [*NODES] else [])]
    server.start()
    url = server.url.replace("redis", scheme)
    code, out, err = await asyncio.wait_for(system.run("doctor", ROUTER_REDIS__URL=url), 30)
    assert code == 1, err
    assert said in out
    assert "Traceback" not in err


async def test_wrong_catalogue_is_said_once(system: System) -> None:
    """What all of several processes would say, the one that starts them says."""
    for command in (["ingress", "--processes", "2"], ["up"]):
        code, _, err = await asyncio.wait_for(system.run(*command, ROUTER_ALLOW_UNSIGNED="nobody"), 30)
        assert (code, err.count("nobody")) == (2, 1)


async def test_fsynced_is_refused_where_it_is_impossible(system: System, server: Server) -> None:
    """Ingress does not promise what the server cannot do, and says why."""
    server.options = ["--appendonly", "no"]
    server.start()
    system.environment["ROUTER_INGRESS__DURABILITY"] = "fsynced"
    code, _, err = await asyncio.wait_for(system.run("ingress"), 30)
    assert code == 2
    assert "append-only file is off" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", [["ingress"], long(["worker", "handlers.py"])])
async def test_a_store_that_comes_back_evicting_stops_what_waits_for_it(
    system: System, server: Server, command: list[str]
) -> None:
    """A process that was started without the store ends in order, with exit code 2, when an unsafe one answers."""
    process = await system.start(*command)
    await eventually(lambda: "store_not_checked" in system.logs())
    assert process.returncode is None
    server.start()
    assert await asyncio.wait_for(process.wait(), 30) == 2
    log = system.logs()
    assert f"{command[0]}_stopped" in log
    assert "maxmemory-policy noeviction" in log
    assert "Traceback" not in log


async def test_an_unsafe_store_gets_nothing_while_it_is_judged(system: System, server: Server) -> None:
    """What came while the store was away is not sent to one that is refused: it waits in the spool for a better one."""
    process = await system.start("ingress")
    await eventually(lambda: "ingress_started" in system.logs())
    await system.post_many([f"n{number}" for number in range(100)])
    server.start()
    assert await asyncio.wait_for(process.wait(), 30) == 2
    assert server.ask("DBSIZE") == 0
    server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    await system.start("ingress")
    stream = "er:{visma-net-financial/customer_changed}:events"
    await eventually(lambda: server.ask("XLEN", stream) == 100)


async def test_an_allowed_eviction_runs_and_is_loud(system: System, server: Server) -> None:
    """With `redis.allow_eviction` everything works, and the log, `/readyz` and the metrics say what is risked."""
    server.start()
    system.environment["ROUTER_REDIS__ALLOW_EVICTION"] = "true"
    await system.start("ingress")
    await system.ready()
    assert (await system.post({"notificationId": "one", "event": "customer_changed"}))[0] == 202
    assert '"check": "eviction policy"' in system.logs()
    assert "throws events away" in await read(system, "/readyz")
    assert 'event_router_store_check{check="eviction policy"} 1.0' in await read(system, "/metrics")


async def test_a_store_without_a_log_runs_and_is_loud(system: System, server: Server) -> None:
    """Without the append-only file nothing is refused, and each start says what is lost when."""
    server.options = ["--appendonly", "no"]
    server.start()
    await system.start("worker", "handlers.py")
    await system.ready()
    assert '"check": "append-only file"' in system.logs()
    assert '"check": "memory"' in system.logs()
