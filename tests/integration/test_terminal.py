"""What people see: the commands on a real terminal."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.filling import CUSTOMERS, put_dead, put_events, put_group
from support.processes import System
from support.terminal import on_terminal

import router
from router.store.client import Store

pytestmark = pytest.mark.real

IDS = [f"bc0fa46d-44da-45c4-8c18-{number:012x}" for number in range(1_000_000, 1_000_003)]


@pytest.fixture
async def environment(real_store: Store, server_url: str) -> Mapping[str, str]:
    """Return the environment in which commands find a store with some events and dead letters."""
    await put_group(real_store, "customer-sync")
    await put_events(real_store, *IDS, resource="customer/55555", company=5100001)
    for event_id in IDS:
        await put_dead(real_store, event_id, subscription="customer-sync", resource="customer/55555")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("ROUTER_")},
        "PYTHONPATH": str(Path(router.__file__).parents[1]),
        "ROUTER_REDIS__URL": server_url,
        "ROUTER_REDIS__PREFIX": real_store.keys.prefix,
    }


@pytest.mark.parametrize("columns", [80, *(pytest.param(wide, marks=pytest.mark.long) for wide in (100, 120))])
@pytest.mark.parametrize(
    ("command", "headers"),
    [
        (("dlq", "list"), {"ID", "AGE", "EVENT", "SUBSCRIPTION", "ERROR"}),
        (("dlq", "stats"), {"COUNT", "SUBSCRIPTION", "EVENT", "ERROR", "SAMPLE"}),
        (("events", "list"), {"AGE", "EVENT", "RESOURCE", "COMPANY", "ID"}),
        pytest.param(
            ("dlq", "replay", "--dry-run"), {"ID", "AGE", "EVENT", "SUBSCRIPTION", "ERROR"}, marks=pytest.mark.long
        ),
        (("streams", "customer_changed"), {"EVENT", "LENGTH", "SUBSCRIPTION", "LAG", "IN", "SCHEDULED", "DEAD"}),
    ],
)
async def test_tables_fit(
    environment: Mapping[str, str], tmp_path: Path, columns: int, command: tuple[str, ...], headers: set[str]
) -> None:
    """A row is a line, a header is whole, the event is told by its type alone: at every usual width."""
    async with on_terminal(*command, columns=columns, folder=tmp_path, environment=environment) as session:
        lines = await session.lines()
    head = next(index for index, line in enumerate(lines) if set(line) <= {"─", " "} and line) - 1
    assert headers <= set(lines[head].split())
    rows = lines[head + 2 :]
    assert len(rows) == (1 if command[1] in ("stats", CUSTOMERS.partition("/")[2]) else 3)
    assert all(" customer_changed " in f" {row} " for row in rows)
    assert max(map(len, lines[head:])) <= columns


async def test_banner(tmp_path: Path) -> None:
    """On a terminal `up` says when all is ready, where to send and with what, and how to stop; Ctrl-C ends it."""
    system = System(tmp_path)
    del system.environment["ROUTER_SECRETS__VISMA_NET_FINANCIAL"]
    async with on_terminal("up", columns=100, folder=tmp_path, environment=system.environment) as session:
        text = await session.until("Ctrl-C")
        assert text.index("subscription_started") < text.index("event-router is running")
        assert f"http://127.0.0.1:{system.port}/webhooks/visma-net-financial" in text
        assert f"{tmp_path}/data/secrets/" in text
        code, _, err = await system.run("send", "visma-net-financial", "customer_changed")
        assert code == 0, err
        session.process.send_signal(signal.SIGINT)
        await session.lines()
        assert await session.process.wait() == 0
