"""Entries of this version and of earlier ones in one stream, handled by workers that are killed."""

import json
from pathlib import Path

import pytest
from support.filling import CUSTOMERS
from support.processes import System, running_system
from support.waiting import eventually

from router.store.client import Store

pytestmark = pytest.mark.real

NUMBER = 150
KILLS = 2

HANDLER = """
customers = Subscription(
    "sync", events=["visma-net-financial/customer_changed"], concurrency=8,
    retry=Retry(max_attempts=6, first_delay=0.1, max_delay=0.2),
)

@customers.handler
async def sync(delivery: Delivery) -> None:
    await asyncio.sleep(0.02)
    event = delivery.event
    if delivery.attempt == 1 and event.id.endswith("3"):
        raise ValueError("once more")
    if (event.entity, event.resource) == ("customer", f"customer/{event.id[1:]}"):
        note("sync", event)
"""


async def _fill(system: System, store: Store) -> None:
    """Put entries of both kinds in turns: `n…` by ingress, `o…` as earlier versions wrote them, without `event`."""
    for start in range(0, NUMBER, 10):
        items = [
            {"notificationId": f"{kind}{number}", "event": "CUSTOMER_CHANGED", "resourceUri": f"v1/customer/{number}"}
            for kind in "no"
            for number in range(start, start + 10)
        ]
        assert (await system.post(items[:10]))[0] == 202
        for item in items[10:]:
            fields = {"id": item["notificationId"], "at": 1_763_828_400_123, "raw": json.dumps(item)}
            await store.client.xadd(store.keys.events(CUSTOMERS), fields)  # type: ignore[arg-type]


@pytest.mark.long
async def test_workers_that_are_killed(tmp_path: Path, server_url: str, real_store: Store) -> None:
    """However often a worker is killed, each event is handled, those without `event` too, and none is left or dead."""
    environment = {"ROUTER_REDIS__URL": server_url, "ROUTER_REDIS__PREFIX": real_store.keys.prefix}
    async with running_system(tmp_path, **environment) as system:
        module = system.module(HANDLER)
        await system.start("ingress")
        await system.ready()
        await _fill(system, real_store)
        for round_ in range(1, KILLS + 1):
            worker = await system.start("worker", module, ROUTER_OPS__PORT="0")
            await eventually(lambda seen=round_ * 50: len(system.handled()) >= seen, timeout=60)  # type: ignore[misc]
            worker.kill()
            await worker.wait()
        await system.start("worker", module, ROUTER_OPS__PORT="0")
        expected = {f"{kind}{number}" for kind in "no" for number in range(NUMBER)}
        await eventually(lambda: set(system.handled()) == expected, timeout=90, interval=0.1)
        assert max(system.handled().values()) <= KILLS + 1
        assert await system.json("dlq", "list") == []
        assert "Traceback" not in system.logs()
