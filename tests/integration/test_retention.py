"""Retention in the processes that users start."""

import asyncio
import signal
from pathlib import Path

import pytest
from support.processes import running_system
from support.waiting import eventually

pytestmark = pytest.mark.real

HANDLERS = """
customers = Subscription("customer-sync", events=["*/customer_changed"])

@customers.handler
async def sync(event: Event) -> None:
    note("customer-sync", event)
"""
EVENTS = ["customer_changed", "supplier_changed"]


@pytest.mark.long
async def test_a_running_system_tidies_up(tmp_path: Path) -> None:
    """Handled events go once they are old enough, those that nobody subscribes to as well; a stop does not wait."""
    settings = {"ROUTER_RETENTION__INTERVAL": "0.2", "ROUTER_RETENTION__EVENTS": "0.5"}
    async with running_system(tmp_path, **settings) as system:
        process = await system.start("up", system.module(HANDLERS))
        await system.ready()
        for event in EVENTS:
            await system.post_many([f"{event}-{number}" for number in range(60)], event)
        await eventually(lambda: len(system.handled()) == 60)

        async def trimmed() -> bool:
            return {row["length"] for row in await system.json("streams")} == {0}

        await eventually(trimmed)
        [row] = await system.json("subscriptions", "list")
        assert (row["name"], row["lag"], len(row["consumers"])) == ("customer-sync", 0, 1)
        code, _, refusal = await system.run("subscriptions", "remove", "customer-sync", "--yes")
        assert code == 1
        assert row["consumers"][0] in refusal
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0
        assert '"event": "events_trimmed"' in system.logs()
        code, said, _ = await system.run("subscriptions", "remove", "customer-sync", "--yes")
        assert (code, said) == (0, "removed customer-sync from 1 stream\n")
        assert await system.json("subscriptions", "list") == []
