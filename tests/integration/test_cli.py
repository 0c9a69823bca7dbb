"""The command as a user runs it: a process of its own, on a real server."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.filling import CUSTOMERS, put_dead, put_events, put_group, put_quarantined

import router
from router.store.client import Store

pytestmark = pytest.mark.real

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def environment(real_store: Store, server_url: str) -> dict[str, str]:
    """Return the environment in which commands find the store."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("ROUTER_")},
        "PYTHONPATH": str(Path(router.__file__).parents[1]),
        "ROUTER_REDIS__URL": server_url,
        "ROUTER_REDIS__PREFIX": real_store.keys.prefix,
    }


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Run:
    """Return what runs a command on the store's server, in an empty folder."""

    def command(*arguments: str, stdin: bytes = b"", **variables: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            [sys.executable, "-m", "router.cli.main", *arguments],
            cwd=tmp_path,
            env={**environment, **variables},
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
        )

    return command


@pytest.fixture
def shell(environment: dict[str, str], tmp_path: Path) -> Run:
    """Return what runs a line of shell in that environment."""

    def command(line: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            timeout=60,
            check=False,
        )

    return command


def _json(done: "subprocess.CompletedProcess[bytes]") -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_dead_letters(real_store: Store, run: Run) -> None:
    """Dead letters are listed, shown, replayed once into the inbox of their subscription, and purged."""
    await put_group(real_store, "sync")
    await put_group(real_store, "audit")
    for number in range(3):
        await put_dead(real_store, f"e{number}")
    await put_dead(real_store, "other", subscription="audit")
    assert len(_json(run("dlq", "list", "--json"))) == 4
    assert _json(run("dlq", "show", "e1", "--json"))["event"]["id"] == "e1"
    assert run("dlq", "stats", "--fail-over", "3").returncode == 5
    assert run("dlq", "replay", "--subscription", "sync").returncode == 2
    replay = ("dlq", "replay", "--subscription", "sync", "--yes", "--json")
    assert _json(run(*replay)) == {"matched": 3, "replayed": 3, "failed": 0}
    assert run(*replay).returncode == 3
    assert await real_store.client.xlen(real_store.keys.inbox(CUSTOMERS, "sync")) == 3
    assert await real_store.client.xlen(real_store.keys.inbox(CUSTOMERS, "audit")) == 0
    assert _json(run("dlq", "purge", "-", "--json", stdin=b"other\n")) == {"matched": 1, "purged": 1, "failed": 0}
    assert _json(run("dlq", "list", "--json")) == []


async def test_reading(real_store: Store, run: Run) -> None:
    """Events, streams and quarantine are read from the server of the settings."""
    await put_group(real_store, "sync")
    await put_events(real_store, "a", "b")
    await put_quarantined(real_store, b"{")
    assert [row["id"] for row in _json(run("events", "list", "--json"))] == ["b", "a"]
    assert _json(run("events", "show", "a", "--json"))["id"] == "a"
    (stream,) = _json(run("streams", CUSTOMERS, "--json"))
    assert (stream["length"], stream["subscriptions"][0]["lag"]) == (2, 2)
    assert [row["raw"] for row in _json(run("quarantine", "list", "--json", "--reveal"))] == ["{"]


async def test_reader_that_leaves(real_store: Store, shell: Run) -> None:
    """When the reader of a pipe has seen enough, the command ends quietly."""
    for start in range(0, 3000, 100):
        await put_events(real_store, *(f"e{number}" for number in range(start, start + 100)))
    done = shell(f"{sys.executable} -m router.cli.main events list --json | head -n 1")
    assert (done.stdout, done.stderr, done.returncode) == (b"[\n", b"", 0)


def test_doctor(run: Run) -> None:
    """The doctor looks at the real server: all is well but for its memory, which has no limit."""
    report = _json(run("doctor", "--json", ROUTER_SECRETS__VISMA_NET_FINANCIAL="x"))
    states = {check["name"]: check["state"] for check in report["checks"]}
    assert states["store"] == states["server version"] == states["eviction policy"] == "ok"


def test_narrow_output(run: Run) -> None:
    """A pipe gets whole lines without colours, however narrow the terminal and poor its alphabet."""
    done = run("catalogue", COLUMNS="40", LC_ALL="C", PYTHONIOENCODING="ascii", FORCE_COLOR="1")
    assert done.returncode == 0, done.stderr
    assert b"\x1b" not in done.stdout
    assert len(done.stdout.splitlines()) == 59


def test_unreachable(run: Run) -> None:
    """A server that is not there is exit code 4 and one line."""
    done = run("streams", ROUTER_REDIS__URL="unix:///nowhere/at/all")
    assert done.returncode == 4
    assert done.stderr.count(b"\n") == 1
    assert done.stdout == b""
