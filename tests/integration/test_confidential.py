"""What is confidential stays so: a whole system run at its most talkative, and all it says read through."""

import asyncio
import base64
import hmac
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from support.processes import FINANCIAL, System, running_system
from support.waiting import eventually

pytestmark = pytest.mark.real

SECRET, TOKEN, CANARY = "secret-4f1d9a7733aa", "token-90cc52e1b08d", "canary-8812fe00c1"

FAILING = """
failing = Subscription("failing", events=["*"], retry=Retry(max_attempts=2, first_delay=0.01, max_delay=0.02))

@failing.handler
async def handle(event: Event) -> None:
    local = event.raw
    raise ValueError("as it happens")
"""


def signature_of(body: bytes, secret: str) -> str:
    """Return the signature of a body."""
    return base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    """Yield a system with a secret and a token in files, that logs all there is to log."""
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "token").write_text(TOKEN)
    environment = {
        "ROUTER_SECRETS__VISMA_NET_FINANCIAL": "",
        "ROUTER_SECRETS__VISMA_NET_FINANCIAL_FILE": str(tmp_path / "secret"),
        "ROUTER_OPS__TOKEN_FILE": str(tmp_path / "token"),
        "ROUTER_LOG__LEVEL": "debug",
    }
    async with running_system(tmp_path, **environment) as running:
        yield running


async def post(system: System, body: bytes, headers: dict[str, str], path: str = FINANCIAL) -> int:
    """Post a body with these headers."""
    url = f"http://127.0.0.1:{system.port}/webhooks/{path}"
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as response:
        return response.status


async def fetch(system: System, path: str, headers: dict[str, str]) -> str:
    """Return what the operations port answers, headers and all."""
    async with aiohttp.ClientSession() as session, session.get(system.ops_url(path), headers=headers) as response:
        return f"{response.headers} {await response.text()}"


async def test_nothing_confidential_is_said(system: System, tmp_path: Path) -> None:
    """No log at any level, metric, dead letter or report of a full run holds a secret, a token or a signature.

    Nor do logs hold what was in a body: events, a quarantined body, forgeries, failing handlers and their tracebacks,
    a bad reload and a stop were all there to be talked of.
    """
    process = await system.start("up", system.module(FAILING))
    await system.ready()
    item = {"event": "customer_changed", "notificationId": "one", "name": CANARY}
    good, unreadable = json.dumps(item).encode(), f'{{"name": "{CANARY}"'.encode()
    forged = signature_of(good, "another-secret-entirely")
    signatures = [signature_of(body, SECRET) for body in (good, unreadable)]
    for body, signature in zip((good, unreadable), signatures, strict=True):
        assert await post(system, body, {"x-vwd-signature-v1": signature}) == 202
    assert await post(system, good, {"x-vwd-signature-v1": forged, "authorization": f"Bearer {TOKEN}"}) == 401
    assert await post(system, good, {"x-signature": signatures[0]}) == 401
    assert await post(system, good, {}, f"{SECRET}?token={TOKEN}") == 404

    async def dead() -> bool:
        return bool(await system.json("dlq", "list"))

    await eventually(dead, interval=0.1)
    said = [
        json.dumps(await system.json("dlq", "show", "one")),
        *[await fetch(system, path, {"Authorization": f"Bearer {TOKEN}"}) for path in ("/metrics", "/readyz", "/x")],
        *[await fetch(system, path, {"Authorization": f"Bearer {TOKEN}x"}) for path in ("/metrics", "/readyz")],
        *(await system.run("doctor"))[1:],
    ]
    (tmp_path / "secret").write_bytes(SECRET.encode() + b"\xff")
    process.send_signal(signal.SIGHUP)
    await eventually(lambda: "reload_refused" in system.logs())
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 40) == 0
    logs = system.logs()
    for word in (SECRET, TOKEN, forged, *signatures):
        assert word not in logs
        assert not [text for text in said if word in text]
    assert CANARY not in logs
    assert "as it happens" in said[0]
    assert {"signature_refused", "items_quarantined", "dead_lettered"} <= set(_events(logs))


def _events(logs: str) -> list[str]:
    return [
        json.loads(line).get("event", "") for line in logs.splitlines() if line.startswith("{") and line.endswith("}")
    ]


async def test_passwords_of_the_store_are_not_said(system: System) -> None:
    """A store that is away, or refuses the user, is told of without its password, in logs and by commands."""
    password = "password-77aa01bc"
    url = f"redis://er-worker:{password}@127.0.0.1:1/0"
    await system.start("ingress", ROUTER_REDIS__URL=url)
    await system.start("worker", system.module(FAILING), ROUTER_REDIS__URL=url, ROUTER_OPS__PORT="0")
    await eventually(lambda: {"ingress_started", "worker_started"} <= set(_events(system.logs())))
    said = [await fetch(system, path, {"Authorization": f"Bearer {TOKEN}"}) for path in ("/readyz", "/metrics")]
    for command in (("doctor",), ("streams",), ("dlq", "list")):
        code, out, err = await system.run(*command, ROUTER_REDIS__URL=url)
        assert code != 0
        said += [out, err]
    assert password not in "".join(said) + system.logs()
