"""The ways a store is deployed: by TCP, by unix socket, and encrypted, each with the whole life of events over it."""

import asyncio
import json
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from support.processes import System, running_system
from support.servers import starting
from support.tls import Certificates, encrypting
from support.waiting import eventually

from router.cli.command.advice import advice_on
from router.store.client import connect
from router.store.keys import Keys

pytestmark = pytest.mark.real

Deployment = Callable[[Path], AbstractAsyncContextManager[str]]

HANDLERS = """
everything = Subscription("everything", events=["*"], retry=Retry(max_attempts=2, first_delay=0.01, max_delay=0.02))

@everything.handler
async def handle(delivery: Delivery) -> None:
    if delivery.event.id == "again" and delivery.attempt == 1:
        raise ValueError("not yet")
    if delivery.event.id == "dead" and not Path("mended").exists():
        raise ValueError("never")
    note("everything", delivery.event)
"""


@asynccontextmanager
async def by_tcp(folder: Path) -> AsyncIterator[str]:
    """Yield the URL of a database of a server, for a user with a password."""
    with starting("--requirepass", "p@ss") as server:
        yield f"{server.url}/3".replace("redis://", "redis://:p%40ss@")


@asynccontextmanager
async def by_socket(folder: Path) -> AsyncIterator[str]:
    """Yield the URL of a socket that only this user may use."""
    with (
        tempfile.TemporaryDirectory(prefix="er-test-") as short,  # the path of a socket may not be long
        starting("--unixsocketperm", "700", socket_path=Path(short, "s")) as server,
    ):
        yield f"{server.url}?db=3"


@asynccontextmanager
async def by_tls(folder: Path) -> AsyncIterator[str]:
    """Yield the URL of a server whose certificate an authority of its own has signed."""
    certificates = Certificates(folder)
    with starting() as server:
        async with encrypting(certificates.context(), server.port) as proxy:
            yield f"rediss://localhost:{proxy.port}/3?ssl_ca_certs={certificates.authority}"


@asynccontextmanager
async def by_tls_with_a_client_certificate(folder: Path) -> AsyncIterator[str]:
    """Yield the URL of a server that wants to see who connects."""
    certificates = Certificates(folder)
    ours = f"ssl_certfile={certificates.client}&ssl_keyfile={certificates.client_key}"
    with starting() as server:
        async with encrypting(certificates.context(ask_client=True), server.port) as proxy:
            yield f"rediss://localhost:{proxy.port}?ssl_ca_certs={certificates.authority}&{ours}"


@asynccontextmanager
async def by_tls_and_sentinel(folder: Path) -> AsyncIterator[str]:
    """Yield the URL of a Sentinel; it and the master it knows are behind TLS."""
    certificates = Certificates(folder)
    context = certificates.context()
    # A Sentinel speaks to its master as it is built, which is without encryption here.
    async with encrypting(context, plain_too=True) as master, encrypting(context) as sentinel:
        with (
            starting() as server,
            starting("--sentinel", config=f"sentinel monitor main 127.0.0.1 {master.port} 1") as watching,
        ):
            master.target, sentinel.target = server.port, watching.port
            yield f"rediss+sentinel://localhost:{sentinel.port}/main?ssl_ca_certs={certificates.authority}"


@asynccontextmanager
async def by_tls_and_cluster(folder: Path) -> AsyncIterator[str]:
    """Yield the URL of a Cluster of one server, which says at which address it is to be reached."""
    certificates = Certificates(folder)
    async with encrypting(certificates.context()) as proxy:
        announced = ("--cluster-announce-ip", "127.0.0.1", "--cluster-announce-port", str(proxy.port))
        with starting("--cluster-enabled", "yes", *announced) as server:
            proxy.target = server.port
            server.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            await eventually(lambda: "cluster_state:ok" in server.ask("CLUSTER", "INFO"))
            yield f"rediss+cluster://localhost:{proxy.port}?ssl_ca_certs={certificates.authority}"


DEPLOYMENTS = [
    by_tcp,
    by_socket,
    by_tls,
    by_tls_with_a_client_certificate,
    by_tls_and_sentinel,
    by_tls_and_cluster,
]


@pytest.mark.long
@pytest.mark.parametrize("deployed", DEPLOYMENTS)
async def test_a_whole_life(deployed: Deployment, tmp_path: Path) -> None:
    """Events go from the webhook to the handler, are retried, die and are replayed, and the end is orderly."""
    async with deployed(tmp_path / "store") as url, running_system(tmp_path, ROUTER_REDIS__URL=url) as system:
        process = await system.start("up", system.module(HANDLERS))
        await system.ready()
        ids = [f"event-{number}" for number in range(20)]
        await system.post_many([*ids, "again", "dead"])
        await eventually(lambda: {*ids, "again"} <= set(system.handled()))

        async def dead() -> bool:
            return [row["id"] for row in await system.json("dlq", "list")] == ["dead"]

        await eventually(dead, interval=0.1)
        (system.folder / "mended").touch()
        code, _, err = await system.run("dlq", "replay", "dead")
        assert code == 0, err
        await eventually(lambda: system.handled()["dead"] == 1)
        assert set(system.handled().values()) == {1}
        report = await system.json("doctor")
        assert {"name": "store", "state": "ok", "detail": "it answers", "advice": ""} in report["checks"]
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0
        assert "p@ss" not in system.logs()


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    """Yield a system that runs nothing yet."""
    async with running_system(tmp_path) as running:
        yield running


async def test_what_to_do_when_both_sides_do_not_understand_each_other(tmp_path: Path) -> None:
    """Whatever keeps client and server apart, the error names it, and there is an advice on it."""
    ours, foreign = Certificates(tmp_path / "ours"), Certificates(tmp_path / "foreign")
    known = f"ssl_ca_certs={ours.authority}"
    with starting("--requirepass", "p@ss") as server:
        async with (
            encrypting(ours.context(), server.port) as proxy,
            encrypting(ours.context("redis.test"), server.port) as named,
            encrypting(ours.context(ask_client=True), server.port) as strict,
        ):
            for url, found, advice in (
                (f"rediss://localhost:{proxy.port}", "CERTIFICATE_VERIFY_FAILED", "?ssl_ca_certs=FILE"),
                (f"rediss://localhost:{proxy.port}?ssl_ca_certs={foreign.authority}", "issuer", "?ssl_ca_certs=FILE"),
                (f"rediss://localhost:{named.port}?{known}", "Hostname mismatch", "ssl_check_hostname=false"),
                (f"rediss://127.0.0.1:{named.port}?{known}", "IP address mismatch", "ssl_check_hostname=false"),
                (f"rediss://localhost:{strict.port}?{known}", "", "ssl_certfile"),
                (f"redis://localhost:{proxy.port}", "", "rediss://"),
                (f"rediss://localhost:{server.port}", "", "without encryption"),  # which may answer what is no TLS
                (f"rediss://localhost:{proxy.port}?{known}", "authenticated", "USER:PASSWORD"),
                (f"rediss://:hunter2@localhost:{proxy.port}?{known}", "password", "correct user and password"),
                (f"rediss+sentinel://localhost:{proxy.port}/main", "CERTIFICATE_VERIFY_FAILED", "?ssl_ca_certs=FILE"),
                (f"rediss+cluster://localhost:{proxy.port}", "CERTIFICATE_VERIFY_FAILED", "?ssl_ca_certs=FILE"),
            ):
                said = await _refusal(url)
                assert found in said, (url, said)
                assert advice in advice_on(said), (url, said)
                assert "hunter2" not in said


async def _refusal(url: str) -> str:
    store = connect(url, Keys("x"), connect_timeout=1, timeout=5)
    try:
        [error] = await store.commands([("GET", "x")])
    finally:
        await store.aclose()
    return f"{type(error).__name__}: {error}"


async def test_doctor_says_what_to_do(system: System, tmp_path: Path) -> None:
    """An authority that is not known is a failed check with what to do about it."""
    certificates = Certificates(tmp_path / "store")
    with starting() as server:
        async with encrypting(certificates.context(), server.port) as proxy:
            code, out, _ = await system.run("doctor", "--json", ROUTER_REDIS__URL=f"rediss://localhost:{proxy.port}")
    assert code == 1
    [check] = [check for check in json.loads(out)["checks"] if check["name"] == "store"]
    assert check["state"] == "failed"
    assert "CERTIFICATE_VERIFY_FAILED" in check["detail"]
    assert "?ssl_ca_certs=FILE" in check["detail"]


@pytest.mark.long
async def test_a_process_without_trust_says_why_and_waits(system: System, tmp_path: Path) -> None:
    """Ingress does not trust a server whose authority it does not know; its log and `/readyz` say so."""
    ours, foreign = Certificates(tmp_path / "ours"), Certificates(tmp_path / "foreign")
    with starting() as server:
        async with encrypting(ours.context(), server.port) as proxy:
            url = f"rediss://localhost:{proxy.port}?ssl_ca_certs={foreign.authority}"
            process = await system.start("ingress", ROUTER_REDIS__URL=url)
            await eventually(lambda: "ingress_started" in system.logs())
            async with aiohttp.ClientSession() as session, session.get(system.ops_url("/readyz")) as response:
                assert "CERTIFICATE_VERIFY_FAILED" in await response.text()
            assert "CERTIFICATE_VERIFY_FAILED" in system.logs()
            assert "Traceback" not in system.logs()
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 30) == 0
        assert server.ask("INFO", "clients")["connected_clients"] == 1


@pytest.mark.parametrize(
    "command", ["ingress", "doctor", *(pytest.param(name, marks=pytest.mark.long) for name in ("worker", "streams"))]
)
async def test_certificates_that_cannot_be_used(system: System, tmp_path: Path, command: str) -> None:
    """A file that is not there is named at start, without a traceback."""
    arguments = [command, system.module(HANDLERS)] if command == "worker" else [command]
    code, out, err = await system.run(*arguments, ROUTER_REDIS__URL=f"rediss://h?ssl_ca_certs={tmp_path}/absent.pem")
    assert code == (1 if command == "doctor" else 2)
    assert f"ssl_ca_certs={tmp_path}/absent.pem cannot be used (No such file" in out + err
    assert "Traceback" not in out + err
