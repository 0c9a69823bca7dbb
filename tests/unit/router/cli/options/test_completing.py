"""What a shell completes, and that it never makes anybody wait or read an error."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.filling import CUSTOMERS, FINANCIAL, put_dead, put_group

from config.settings import Settings
from router.cli.options import completing
from router.embedded.access import open_store
from router.store.client import Store
from workers.failure import fingerprint_of


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _completed(*words: str) -> list[str]:
    """Press Tab in a shell after these words; return what it offers."""
    environment = {"_EVENT_ROUTER_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(words)}
    result = subprocess.run(
        [sys.executable, "-m", "router.cli.main"],
        env={**os.environ, **environment, "COMP_CWORD": str(len(words) - 1)},
        capture_output=True,
        timeout=60,
        check=False,
        text=True,
    )
    assert result.stderr == ""
    return result.stdout.split()


def long(*values: object) -> Any:
    """Leave this one of many commands to the tests that take long."""
    return pytest.param(*values, marks=pytest.mark.long)


def test_event_types() -> None:
    """An event type is completed by its name alone, or after its publisher; in any case."""
    assert completing.event_types("Customer_ch") == ["customer_changed"]
    assert completing.event_types(f"{FINANCIAL}/customer_ch") == [CUSTOMERS]
    assert FINANCIAL in completing.publishers("visma-net-f")
    assert len(completing.event_types("")) > 50
    assert completing.event_types("nothing") == []


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("event-router", "dlq", "li"), ["list"]),
        long(("event-router", "dlq", "list", "customer_ch"), ["customer_changed"]),
        (("event-router", "dlq", "purge", "--event", "customer_ch"), ["customer_changed"]),
        long(("event-router", "quarantine", "retry", "visma-net-f"), [FINANCIAL]),
        (("event-router", "send", "visma-net-f"), [FINANCIAL]),
        long(("event-router", "send", FINANCIAL, "customer_ch"), ["customer_changed"]),
        long(("event-router", "events", "list", "customer_ch"), ["customer_changed"]),
        long(("event-router", "events", "replay", "customer_ch"), ["customer_changed"]),
        (("event-router", "catalogue", "customer_ch"), ["customer_changed"]),
    ],
)
def test_in_a_shell(words: tuple[str, ...], offered: list[str]) -> None:
    """Commands, events and publishers are offered where they can stand."""
    assert _completed(*words) == offered


@pytest.mark.real
async def test_of_the_store(server_url: str, real_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Subscriptions that exist are completed, and fingerprints with what they stand for."""
    await put_group(real_store, "sync")
    await put_group(real_store, "audit")
    await put_dead(real_store, "e1")
    monkeypatch.setenv("ROUTER_REDIS__URL", server_url)
    monkeypatch.setenv("ROUTER_REDIS__PREFIX", real_store.keys.prefix)
    fingerprint = fingerprint_of("ValueError", "no customer 3")
    assert await asyncio.to_thread(completing.subscriptions, "s") == ["sync"]
    assert await asyncio.to_thread(completing.subscriptions, "") == ["audit", "sync"]
    found = await asyncio.to_thread(completing.fingerprints, fingerprint[:3].upper())
    assert found == [(fingerprint, "ValueError no customer #")]
    assert await asyncio.to_thread(completing.fingerprints, "x") == []


@pytest.mark.real
async def test_of_an_embedded_server(tmp_path: Path) -> None:
    """A server that runs is asked; one that does not is not started for this."""
    assert await asyncio.to_thread(completing.subscriptions, "") == []
    assert list(tmp_path.iterdir()) == []
    async with open_store(Settings(data_dir=tmp_path / "data")) as store:
        await put_group(store, "sync")
        assert await asyncio.to_thread(completing.subscriptions, "") == ["sync"]
        for words in (("subscriptions", "pause"), ("subscriptions", "remove"), ("events", "replay", "--to")):
            assert await asyncio.to_thread(_completed, "event-router", *words, "s") == ["sync"]
    assert await asyncio.to_thread(completing.subscriptions, "") == []


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "nonsense", "redis+sentinel://127.0.0.1:1/main"])
def test_a_store_that_is_away(url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Where the store or a setting is of no use nothing is offered and nothing is said."""
    monkeypatch.setenv("ROUTER_REDIS__URL", url)
    assert completing.subscriptions("") == []
    assert completing.fingerprints("") == []
    assert capfd.readouterr() == ("", "")


def test_a_store_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the connection and says nothing keeps nobody waiting for long."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("ROUTER_REDIS__URL", f"redis://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        assert completing.subscriptions("") == []
        assert time.monotonic() - started < 10


def test_wrong_settings(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Settings that cannot be read complete nothing, without a word."""
    monkeypatch.setenv("ROUTER_INGRESS__PORT", "many")
    assert completing.event_types("") == completing.publishers("") == []
    assert capfd.readouterr() == ("", "")
