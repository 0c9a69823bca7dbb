"""Who may see what on the operations port."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, web
from prometheus_client import CollectorRegistry, Counter
from pydantic import SecretStr
from structlog.testing import capture_logs

from config.settings import OpsSettings, Settings
from router.cli.doctor.checks import Ingress
from router.cli.doctor.probe import ask_ingresses
from router.cli.doctor.security_checks import judge_ops
from router.http.request import Request
from router.http.response import Response
from router.http.site import Site
from router.process.ops import OpsServer
from router.process.ops_token import OpsToken, bearer, is_loopback

TOKEN = "an-operations-token-0123"
SECRET = SecretStr(TOKEN)


@asynccontextmanager
async def running(token: SecretStr | None = SECRET, *, host: str = "127.0.0.1", **options: Any) -> AsyncIterator[int]:
    """Run an operations server with one check and one metric; yield its port."""
    registry = CollectorRegistry()
    Counter("seen", "Things seen.", registry=registry).inc(3)

    async def readiness() -> Mapping[str, bool | str]:
        return {"redis": "redis.internal:6379 refused"}

    named = {"role": "ingress", "name": "host-7", **options}
    server = OpsServer(OpsSettings(host=host, port=0, token=token), readiness, registry, **named)
    try:
        yield await server.start()
    finally:
        await server.stop()


async def ask(port: int, path: str, authorization: str | None = None) -> tuple[int, str, Mapping[str, str]]:
    """Fetch a path; return status, text and headers."""
    headers = {"Authorization": authorization} if authorization is not None else {}
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}", headers=headers) as response:
        return response.status, await response.text(), response.headers


@pytest.mark.parametrize("path", ["/metrics", "/nothing", "/metrics/", "//metrics", "/%6detrics", "/"])
async def test_strangers_are_challenged(path: str) -> None:
    """Without the token every path but two is 401, whether or not it exists, and says which scheme is wanted."""
    async with running() as port:
        status, text, headers = await ask(port, path)
    assert status == 401
    assert headers["WWW-Authenticate"].startswith("Bearer ")
    assert headers["X-Event-Router"] == "ingress"
    assert "seen_total" not in text


async def test_the_token_opens() -> None:
    """With the token metrics are served, a path that does not exist is 404, and the process says its name."""
    async with running() as port:
        status, text, headers = await ask(port, "/metrics", f"Bearer {TOKEN}")
        assert (status, "seen_total 3.0" in text, headers["X-Event-Router"]) == (200, True, "ingress host-7")
        assert (await ask(port, "/nothing", f"Bearer {TOKEN}"))[0] == 404


@pytest.mark.parametrize("given", [None, f"Bearer {TOKEN}x", TOKEN])
async def test_strangers_learn_readiness_alone(given: str | None) -> None:
    """An orchestrator without the token gets health and the status of readiness, and no address, name or reason."""
    async with running() as port:
        assert (await ask(port, "/healthz", given))[:2] == (200, "ok")
        status, text, _ = await ask(port, "/readyz", given)
        assert (status, json.loads(text)) == (503, {"ready": False})
        status, text, _ = await ask(port, "/readyz", f"bearer  {TOKEN}")
        assert (status, json.loads(text)["checks"]) == (503, {"redis": "redis.internal:6379 refused"})


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        TOKEN,
        f"Basic {TOKEN}",
        f"Bearer{TOKEN}",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN} {TOKEN}",
        f"Bearer {TOKEN.upper()}",
        f"Bearer {TOKEN},",
        "Bearer \udcff\ud800",
        "Bearer " + "x" * 10_000,
    ],
)
def test_anything_else_is_no_token(authorization: str | None) -> None:
    """Only the scheme Bearer with just the token is let in; nothing a stranger sends raises."""
    assert not OpsToken(SECRET).admits(authorization)


def test_the_scheme_is_in_any_case() -> None:
    """The name of the scheme is case-insensitive (RFC 9110, 11.1)."""
    assert all(OpsToken(SECRET).admits(f"{scheme} {TOKEN}") for scheme in ("Bearer", "bearer", "BEARER"))


async def test_no_token_asks_for_none() -> None:
    """Where none is set everything is open, as it is on the loopback of a developer's machine."""
    async with running(None) as port:
        assert (await ask(port, "/metrics"))[0] == 200
        assert (await ask(port, "/metrics", "Bearer whatever"))[0] == 200


async def test_added_routes_guard_themselves() -> None:
    """A console on the port has a login of its own; what it did not add stays behind the token."""

    async def page(_request: Request) -> Response:
        return Response(200, b"login")

    def extend(site: Site) -> None:
        site.add("GET", "/", page)

    async with running(extend=extend) as port:
        assert (await ask(port, "/"))[:2] == (200, "login")
        assert (await ask(port, "/metrics"))[0] == 401
        assert (await ask(port, "/other"))[0] == 401


@pytest.mark.parametrize(
    ("token", "host", "warned"),
    [(None, "0.0.0.0", True), (SECRET, "0.0.0.0", False), (None, "127.0.0.1", False), (None, "localhost", False)],
)
async def test_an_open_port_is_warned_of(token: SecretStr | None, host: str, *, warned: bool) -> None:
    """At every start a port that others can reach and that asks for no token is logged as such."""
    with capture_logs() as logged:
        async with running(token, host=host):
            pass
    assert [line["event"] for line in logged] == (["ops_port_exposed"] if warned else [])
    assert TOKEN not in str(logged)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("0", False),
    ],
)
def test_what_counts_as_loopback(*, host: str, loopback: bool) -> None:
    """What cannot be told to be this machine's alone counts as reachable."""
    assert is_loopback(host) is loopback


def test_doctor_judges_the_port() -> None:
    """Doctor is loud about a reachable port without a token, and names processes that have another token."""
    states = {
        (host, token is not None): next(judge_ops(OpsSettings(host=host, token=token))).state
        for host in ("127.0.0.1", "0.0.0.0")
        for token in (None, SECRET)
    }
    assert [key for key, state in states.items() if state == "warning"] == [("0.0.0.0", False)]
    _, refused = judge_ops(OpsSettings(token=SECRET), [Ingress("one", "http://127.0.0.1:9090", takes_token=False)])
    assert (refused.name, refused.state) == ("operations token of ingress", "warning")
    assert TOKEN not in str(list(judge_ops(OpsSettings(token=SECRET))))


async def test_doctor_brings_the_token() -> None:
    """An ingress is asked for its spool with the token of the settings; that it has another is told."""
    async with running() as port:
        (answer,) = await ask_ingresses(Settings(ops=OpsSettings(port=port, token=SECRET)))
        assert (answer.takes_token, answer.events) == (True, None)  # it has no spool
        for token in (None, SecretStr("another-token-of-24-chars")):
            (answer,) = await ask_ingresses(Settings(ops=OpsSettings(port=port, token=token)))
            assert (answer.url, answer.takes_token) == (f"http://127.0.0.1:{port}", False)


async def test_doctor_gives_strangers_no_token() -> None:
    """Who has the port and does not say that it is one of our ingresses never gets the token."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(f"{request.path} {request.headers}")
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    try:
        assert await ask_ingresses(Settings(ops=OpsSettings(port=port, token=SECRET))) == []
    finally:
        await runner.cleanup()
    assert len(seen) == 1
    assert TOKEN not in seen[0]


def test_the_header_of_the_settings() -> None:
    """Whoever asks by the settings sends what they name, and nothing when they name none."""
    assert bearer(OpsSettings()) == {}
    assert bearer(OpsSettings(token=SECRET)) == {"Authorization": f"Bearer {TOKEN}"}
