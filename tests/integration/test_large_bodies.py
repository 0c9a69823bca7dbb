"""What reading takes where bodies are as large as they may be: a constant, however many there are."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.filling import CUSTOMERS, FINANCIAL, put_group
from support.processes import System, running_system
from support.servers import Server

from router.store.client import Store, connect
from router.store.keys import Keys

pytestmark = pytest.mark.real

MEBIBYTE = 1 << 20
NUMBER = 150
ROOM = 60
"""MiB beyond what a command takes where there is nothing."""

MEASURED = """
import resource, subprocess, sys
ended = subprocess.run([sys.executable, "-m", "router.cli.main", *sys.argv[1:]], stdout=subprocess.DEVNULL)
print(ended.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
"""


@pytest.fixture
async def store(server: Server) -> AsyncIterator[Store]:
    """Yield the store that the commands read."""
    store = connect(server.url, Keys("er"))
    await store.client.flushall()
    yield store
    await store.client.flushall()
    await store.aclose()


@pytest.fixture
async def system(server: Server, tmp_path: Path) -> AsyncIterator[System]:
    """Yield where the commands run."""
    async with running_system(tmp_path, ROUTER_REDIS__URL=server.url) as found:
        yield found


def peak(system: System, line: str) -> int:
    """Run a command; return the MiB that it took at the most."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *line.split()],
        cwd=system.folder,
        env={**os.environ, **system.environment},
        capture_output=True,
        check=True,
    )
    code, mebibytes = map(int, done.stdout.split())
    assert code == 0, done.stderr
    return mebibytes


@pytest.mark.long
async def test_reading_large_bodies_takes_a_constant(store: Store, system: System) -> None:
    """No command that lists or exports holds more than a few of the bodies, in one stream or spread over many."""
    lines = (
        "events list --limit 5",
        "events list",
        "dlq list",
        "dlq stats",
        "dlq export -",
        "quarantine list",
        "events list --json",
    )
    await put_group(store, "sync")
    least = max(peak(system, line) for line in ("events list --limit 5", "dlq list"))
    streams = [CUSTOMERS, f"{FINANCIAL}/inventory_changed", f"{FINANCIAL}/supplier_changed"]
    for stream in streams[1:]:
        await put_group(store, "sync", stream)
    for number in range(NUMBER):
        stream = streams[number % 3] if number % 2 else CUSTOMERS
        raw = json.dumps(
            {"event": stream.partition("/")[2], "notificationId": str(number), "more": "x" * (MEBIBYTE - 200)}
        )
        fields = {"id": f"e-{number}", "at": 1_760_000_000_000, "raw": raw}
        await store.client.xadd(store.keys.events(stream), fields)
        dead = {**fields, "attempts": 1, "history": "", "reason": "failed"}
        await store.client.xadd(store.keys.dead(stream, "sync"), dead)
        await store.client.xadd(store.keys.quarantine(FINANCIAL), {**fields, "reason": "not valid JSON"})
    for line in lines:
        assert peak(system, line) <= least + ROOM, line
