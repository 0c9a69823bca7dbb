"""The command `console`, and the process that it is."""

import asyncio
import re
from pathlib import Path

import aiohttp
import pytest
from support.cli import Cli, Terminal
from support.ports import reserve
from support.stores import fake_store
from support.waiting import eventually

from config.settings import OpsSettings, Settings
from router.console.access.token import token_of
from router.console.command import _serve
from router.console.service import serve_console
from router.embedded.access import NoData
from router.process.signals import PARENT_FD

pytestmark = pytest.mark.usefixtures("signals_put_back")


def test_link(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`console --link` prints a new link for a console that has run, and makes no token for one that has not."""
    assert "no console has run" in cli.fails(3, "console", "--link")
    assert not (tmp_path / "data").exists()
    token_of(Settings(data_dir=tmp_path / "data"))
    links = {cli.ok("console", "--link") for _ in range(2)}
    assert len(links) == 2
    assert all(link.startswith("http://127.0.0.1:9092/login?code=") for link in links)
    assert ":7/login" in cli.ok("console", "--link", "--port", "7")
    monkeypatch.setenv("ROUTER_OPS__PORT", "0")
    assert "--port" in cli.fails(2, "console", "--link")


async def test_serving(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The process serves the console beside health, readiness and metrics, each with its own guard, until stopped."""
    monkeypatch.setattr("router.console.service.open_store", lambda *_, **__: fake_store())
    token = "0123456789abcdef"
    settings = Settings(data_dir=tmp_path, ops=OpsSettings(port=0, token=token))
    stop, ports = asyncio.Event(), []
    serving = asyncio.create_task(serve_console(settings, stop, listening=ports.append))
    await eventually(lambda: ports)
    base = f"http://127.0.0.1:{ports[0]}"
    bearer = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as session:
        for path, headers, status in (
            ("/healthz", {}, 200),
            ("/readyz", bearer, 200),
            ("/metrics", bearer, 200),
            ("/metrics", {}, 401),
            ("/login", {}, 200),
            ("/", {}, 303),
            ("/", bearer, 303),
        ):
            async with session.get(base + path, headers=headers, allow_redirects=False) as response:
                assert (path, response.status) == (path, status)
                assert response.headers["X-Event-Router"].startswith("console")
        async with session.get(f"{base}/metrics", headers=bearer) as response:
            assert 'role="console"' in await response.text()
        data, origin = {"token": token}, {"Origin": base}
        async with session.post(f"{base}/login", data=data, headers=origin, allow_redirects=False) as response:
            assert response.status == 303
    stop.set()
    await serving
    assert list(tmp_path.iterdir()) == []


async def test_nothing_to_look_at(tmp_path: Path) -> None:
    """In a folder without data there is no server to start, and it is said."""
    with pytest.raises(NoData):
        await serve_console(Settings(data_dir=tmp_path, ops=OpsSettings(port=0)), asyncio.Event())


@pytest.mark.parametrize("supervised", [False, True])
async def test_the_link_is_for_terminals(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, supervised: bool) -> None:
    """A console of its own prints a link on a terminal; under `up` the banner does, and a log never gets one."""
    monkeypatch.setattr("router.console.service.open_store", lambda *_, **__: fake_store())
    if supervised:
        monkeypatch.setenv(PARENT_FD, "none")
    shown = Terminal()
    monkeypatch.setattr("sys.stdout", shown)
    settings = Settings(data_dir=tmp_path, ops=OpsSettings(port=reserve()))
    stop = asyncio.Event()
    serving = asyncio.create_task(_serve(settings, stop))
    await eventually((tmp_path / "console" / "token").exists)
    await eventually(lambda: "console_started" in shown.getvalue() or "sign in" in shown.getvalue())
    stop.set()
    await serving
    said = [line for line in shown.getvalue().splitlines() if line.startswith("  ")]
    assert len(said) == (0 if supervised else 2)
    assert supervised or re.search(r"sign in +http://127.0.0.1:\d+/login\?code=", said[1])
