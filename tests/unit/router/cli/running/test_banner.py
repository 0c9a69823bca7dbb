"""What `up` says on a terminal once everything runs."""

import asyncio
import socket
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import SecretStr
from support.ports import reserve
from support.waiting import eventually

from config.settings import IngressSettings, OpsSettings, RedisSettings, Settings
from router.cli.running.banner import Banner
from router.console.access.token import token_of
from router.events.catalogue import Catalogue


async def test_waits_until_all_is_ready(catalogue: Catalogue, tmp_path: Path) -> None:
    """It is said once, when ingress, worker and console are ready, with all that a first-time user needs."""
    ready, asked, said = [503], [], []
    port = reserve(3)

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=ready[0])

    ops = OpsSettings(port=port)
    settings = Settings(data_dir=tmp_path, ops=ops, ingress=IngressSettings(port=7, host="127.0.0.1"))
    token_of(settings)  # as the console does when it starts
    banner = Banner(settings, catalogue)
    showing = asyncio.create_task(banner.show(said.append))
    application = web.Application()
    application.router.add_get("/readyz", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    for offset in (0, 1, 2):
        await web.TCPSite(runner, "127.0.0.1", port + offset).start()
    await eventually(lambda: len(asked) > 1)
    assert said == []
    ready[0] = 200
    await asyncio.wait_for(showing, 30)
    await runner.cleanup()
    (text,) = said
    for expected in (
        "http://127.0.0.1:7/webhooks/visma-net-financial",
        f"{tmp_path}/secrets/",
        "event-router send visma-net-financial customer_changed",
        f"http://127.0.0.1:{port}/readyz and /metrics of ingress",
        f"http://127.0.0.1:{port + 1}/readyz and /metrics of worker",
        f"console     http://127.0.0.1:{port + 2}/\n",
        f"http://127.0.0.1:{port + 2}/login?code=",
        "Ctrl-C",
    ):
        assert expected in text


def _text(catalogue: Catalogue, settings: Settings) -> str:
    return "\n".join(Banner(settings, catalogue)._lines())


def test_what_is_not_known_before(catalogue: Catalogue) -> None:
    """A port that the system chooses is in the log, and nothing is said of it here."""
    text = _text(catalogue, Settings(ops=OpsSettings(port=0), ingress=IngressSettings(port=0)))
    assert ":0/" not in text
    assert "ops_port in the log" in text
    assert "port in the log" in text


def test_a_port_that_another_has_is_not_ours(catalogue: Catalogue) -> None:
    """Where an operations port is taken already, the child gets another: neither asked nor told."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f":{port}/" not in _text(catalogue, Settings(ops=OpsSettings(port=port)))


@pytest.mark.parametrize(
    ("host", "told"), [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("::1", "[::1]"), ("erp.local", "erp.local")]
)
def test_hosts(catalogue: Catalogue, host: str, told: str) -> None:
    """An address that means every address is told as one that can be asked."""
    assert f"http://{told}:8080/webhooks/" in _text(catalogue, Settings(ingress=IngressSettings(host=host)))


def test_secrets_that_were_not_made(catalogue: Catalogue) -> None:
    """Secrets are told of only where some were made: on the embedded server, for a publisher without one."""
    everyone = dict.fromkeys(catalogue.publishers, ("x",))
    assert "secrets/" in _text(catalogue, Settings())
    assert "secrets/" not in _text(catalogue, Settings(secrets=everyone))
    assert "secrets/" not in _text(catalogue, Settings(redis=RedisSettings(url="redis://x")))


def test_where_to_send_from(catalogue: Catalogue) -> None:
    """The folder is enough to find an embedded server and its secrets; of another the variables tell."""
    assert "in a second terminal, in this folder\n" in _text(catalogue, Settings())
    other = _text(catalogue, Settings(redis=RedisSettings(url="redis://x")))
    assert "in a second terminal, with the same ROUTER_… variables\n" in other


def test_a_token_of_ones_own_needs_no_link(catalogue: Catalogue, tmp_path: Path) -> None:
    """Where the operations token is set, the console asks for it, and no secret is made or shown."""
    ops = OpsSettings(port=reserve(3), token=SecretStr("0123456789abcdef"))
    text = _text(catalogue, Settings(data_dir=tmp_path, ops=ops))
    assert f"http://127.0.0.1:{ops.port + 2}/ asks for the operations token" in text
    assert "code=" not in text
    assert list(tmp_path.iterdir()) == []
