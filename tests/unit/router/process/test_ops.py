"""Rules of the operations port."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
from aiohttp import ClientSession
from prometheus_client import CollectorRegistry, Counter
from structlog.testing import capture_logs
from support.ports import reserve

from config.errors import RouterError
from config.settings import OpsSettings
from router.process.ops import OpsServer, Readiness

Get = Callable[[int, str], Awaitable[tuple[int, str]]]
Start = Callable[..., Awaitable[tuple[OpsServer, int]]]


def answering(checks: Mapping[str, bool | str]) -> Readiness:
    """Return a readiness that answers with these checks."""

    async def readiness() -> Mapping[str, bool | str]:
        return checks

    return readiness


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start operations servers and stop them at the end."""
    servers: list[OpsServer] = []

    async def start(readiness: Readiness, port: int = 0, **options: Any) -> tuple[OpsServer, int]:
        registry = CollectorRegistry()
        Counter("seen", "Things seen.", registry=registry).inc(3)
        named = {"role": "ingress", "name": "host-1", **options}
        servers.append(OpsServer(OpsSettings(port=port), readiness, registry, **named))
        return servers[-1], await servers[-1].start()

    yield start
    for server in servers:
        await server.stop()


@pytest.fixture
async def get() -> AsyncIterator[Get]:
    """Fetch a path from a port."""
    async with ClientSession() as session:

        async def get(port: int, path: str) -> tuple[int, str]:
            async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                return response.status, await response.text()

        yield get


async def test_healthy_while_the_loop_runs(start: Start, get: Get) -> None:
    """Health does not depend on readiness: an orchestrator must not kill what only waits for Redis."""
    _, port = await start(answering({"redis": "down"}))
    assert await get(port, "/healthz") == (200, "ok")


@pytest.mark.parametrize(
    ("checks", "status"),
    [
        ({}, 200),
        ({"redis": True, "spool": "ok"}, 200),
        ({"redis": False, "spool": "ok"}, 503),
        ({"redis": True, "spool": "full"}, 503),
    ],
)
async def test_ready_when_every_check_passes(
    start: Start,
    get: Get,
    checks: dict[str, bool | str],
    status: int,
) -> None:
    """Readiness is 200 when all checks pass and 503 otherwise, and shows each of them."""
    _, port = await start(answering(checks))
    found, body = await get(port, "/readyz")
    assert found == status
    assert all(name in body for name in checks)


async def test_broken_check_is_a_failed_check(start: Start, get: Get) -> None:
    """A readiness that raises is not ready, and the server lives on."""

    async def readiness() -> Mapping[str, bool | str]:
        raise ValueError

    _, port = await start(readiness)
    status, body = await get(port, "/readyz")
    assert (status, "ValueError" in body) == (503, True)


async def test_slow_check_is_a_failed_check(start: Start, get: Get) -> None:
    """A readiness that does not come back in time is not ready."""

    async def readiness() -> Mapping[str, bool | str]:
        await asyncio.Event().wait()
        return {}

    _, port = await start(readiness, timeout=0.01)
    status, body = await get(port, "/readyz")
    assert (status, "no answer within 0.01 s" in body) == (503, True)


async def test_warnings_are_shown_and_change_nothing(start: Start, get: Get) -> None:
    """What is wrong without keeping the process from its work is shown beside the checks; ready stays ready."""
    _, port = await start(answering({"redis": True}), warnings=lambda: {"memory": "nearly full"})
    status, body = await get(port, "/readyz")
    assert status == 200
    report = json.loads(body)
    assert (report["ready"], report["checks"]) == (True, {"redis": True})
    assert report["warnings"] == {"memory": "nearly full"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/nothing"])
async def test_every_answer_says_whose_it_is(start: Start, path: str) -> None:
    """Role and name of the process are in a header of all answers; a name cannot break it, whatever it holds."""
    _, port = await start(answering({"redis": "down"}), role="worker", name="my host\r\nX: ö")
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        assert response.headers["X-Event-Router"] == "worker my%20host%0D%0AX%3A%20%C3%B6"


async def test_readiness_says_whose_it_is(start: Start, get: Get) -> None:
    """An ingress and a worker that share a host can be told apart by the report itself."""
    _, port = await start(answering({"redis": True}), role="worker", name="host-7")
    report = json.loads((await get(port, "/readyz"))[1])
    assert (report["role"], report["name"]) == ("worker", "host-7")


async def test_not_ready_while_stopping(start: Start, get: Get) -> None:
    """A process that begins to stop says so, whatever its checks say."""
    server, port = await start(answering({"redis": True}))
    server.not_ready("stopping")
    status, body = await get(port, "/readyz")
    assert (status, "stopping" in body) == (503, True)
    assert (await get(port, "/healthz"))[0] == 200


async def test_metrics_are_prometheus_text(start: Start, get: Get) -> None:
    """The registry is served as Prometheus reads it."""
    _, port = await start(answering({}))
    status, body = await get(port, "/metrics")
    assert (status, "seen_total 3.0" in body) == (200, True)


async def test_taken_port_gives_way_to_a_free_one(start: Start, get: Get) -> None:
    """The second process on a host gets another port, says which, and what to set."""
    _, first = await start(answering({}))
    with capture_logs() as logged:
        _, second = await start(answering({}), first)
    assert second != first
    assert (await get(second, "/healthz"))[0] == 200
    assert [(line["event"], line["wanted"], line["listening_on"]) for line in logged] == [
        ("ops_port_taken", first, second),
    ]
    assert f"127.0.0.1:{first} answers for another process: set ROUTER_OPS__PORT" in logged[0]["advice"]


async def test_wanted_port_is_used(start: Start) -> None:
    """A free port that was asked for is the one that is bound."""
    wanted = reserve()
    _, port = await start(answering({}), wanted)
    assert port == wanted


async def test_impossible_address_is_an_error() -> None:
    """An address that is not this machine's is named, with the settings to change."""
    elsewhere = OpsSettings(host="192.0.2.1", port=0)
    server = OpsServer(elsewhere, answering({}), CollectorRegistry(), role="ingress", name="host-1")
    with pytest.raises(RouterError, match=r"192\.0\.2\.1:0 .* set ops\.host"):
        await server.start()
    await server.stop()
