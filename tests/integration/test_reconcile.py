"""What webhooks lose is found by real workers that sweep the fake ERP, and by the command that sweeps at once."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from support.erp import erp_variables
from support.processes import System, ledger, running_system
from support.servers import Server, starting
from support.topologies import running_cluster
from support.waiting import eventually

from router.events.ticks import to_ticks
from router.store.keys import Keys
from workers.erp.fake import FakeErp, Options, serving

pytestmark = pytest.mark.real

TENANT, COMPANY = "t1", "7"
MIRROR = """
mirror = Subscription("mirror", events=["*/customer_*"], key="resource", hydrate=True)

from workers import Record

@mirror.handler
async def sync(event: Event, record: Record) -> None:
    row = {"subscription": "mirror", "id": event.id, "resource": event.resource_id, "gone": record.gone}
    ledger.write(json.dumps({**row, "origin": event.origin}) + "\\n")
"""
SWEEPING = {
    "ROUTER_RECONCILE__CUSTOMERS__PATH": "v1/customer",
    "ROUTER_RECONCILE__CUSTOMERS__COMPANIES": f"{TENANT}/{COMPANY}",
    "ROUTER_RECONCILE__CUSTOMERS__PAGE_SIZE": "20",
    "ROUTER_RECONCILE__CUSTOMERS__WAIT": "1s",
}


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """Yield a server that outlives the processes."""
    with starting() as running:
        yield running


@pytest.fixture
async def erp() -> AsyncIterator[FakeErp]:
    """Yield an ERP of which nobody uses up the quota."""
    async with serving(FakeErp(Options(quota=100_000))) as found:
        yield found


@pytest.fixture
async def system(tmp_path: Path, server: Server, erp: FakeErp) -> AsyncIterator[System]:
    """Yield a system with an ERP, whose customers are swept."""
    async with running_system(tmp_path, ROUTER_REDIS__URL=server.url, **erp_variables(erp), **SWEEPING) as running:
        yield running


async def change(system: System, erp: FakeErp, number: int, *, lost: bool) -> None:
    """Change a customer; unless that is lost, have a webhook report it."""
    erp.books(TENANT).put(f"v1/customer/{number}", {"number": str(number)})
    if lost:
        return
    now = datetime.now(UTC)
    item = {"notificationId": f"n{number}-{now.timestamp()}", "event": "customer_changed", "timeStamp": to_ticks(now)}
    about = {"relativeResourceUri": f"v1/customer/{number}", "TenantId": TENANT, "contextId": COMPANY}
    assert (await system.post([item | about]))[0] == 202


def mirrored(system: System) -> Counter[str]:
    """Return how often each customer was mirrored."""
    return Counter(row["resource"] for row in ledger(system.ledger))


async def test_one_webhook_in_twenty_is_lost(system: System, erp: FakeErp) -> None:
    """Of 200 changes 5 % of the webhooks are lost: after one sweep each customer was mirrored, and none twice."""
    await system.start("ingress")
    await system.ready()
    random = Random(3)
    lost = {number for number in range(200) if random.random() < 0.05}
    for number in range(200):
        await change(system, erp, number, lost=number in lost)
    [swept] = await system.json("reconcile", "run", "customers")
    assert (swept["listed"], swept["reported"], swept["made"]) == (200, 200 - len(lost), len(lost))
    [again] = await system.json("reconcile", "run", "customers")
    assert (again["made"], again["repaired"]) == (0, len(lost))
    every = {**SWEEPING, "ROUTER_RECONCILE__CUSTOMERS__EVERY": "1h", "ROUTER_OPS__PORT": "0"}
    await system.start("worker", system.module(MIRROR), **every)
    await eventually(lambda: len(mirrored(system)) == 200)
    assert set(mirrored(system).values()) == {1}
    found = {row["resource"] for row in ledger(system.ledger) if row["origin"] == "reconcile"}
    assert found == {str(number) for number in lost}


@pytest.mark.long
async def test_workers_that_are_killed_while_they_sweep(system: System, erp: FakeErp) -> None:
    """Two workers sweep each second and are killed again and again: no change is missing, and none has two events."""
    await system.start("ingress")
    await system.ready()
    every = {"ROUTER_RECONCILE__CUSTOMERS__EVERY": "1s", "ROUTER_RECONCILE__CUSTOMERS__DELETES": "5s"}
    module, random = system.module(MIRROR), Random(5)
    workers = [await system.start("worker", module, **every, ROUTER_OPS__PORT="0") for _ in range(2)]
    for number in range(120):
        await change(system, erp, number, lost=random.random() < 0.3)
        await asyncio.sleep(0.05)
        if number % 40 == 39:
            for place, worker in enumerate(workers):
                worker.send_signal(signal.SIGKILL)
                await worker.wait()
                workers[place] = await system.start("worker", module, **every, ROUTER_OPS__PORT="0")
    await eventually(lambda: len(mirrored(system)) == 120, timeout=120)
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
        await worker.wait()
    [swept] = await system.json("reconcile", "run", "customers", "--complete")
    assert (swept["made"], swept["held"], swept["error"]) == (0, 0, None)
    events = await system.json("events", "list", "--limit", "1000")
    assert len({event["id"] for event in events}) == len(events)
    assert Counter(event["resource"] for event in events).keys() == {f"customer/{number}" for number in range(120)}
    assert max(Counter((event["resource"], event.get("origin")) for event in events).values()) == 1


@pytest.mark.long
async def test_a_cluster_whose_events_fail_over_alone(tmp_path: Path, erp: FakeErp) -> None:
    """What a sweep made, and a node lost as it failed over while that of the cursor did not, the next sweep makes."""
    keys = Keys()
    events = keys.events("visma-net-financial/customer_changed")
    with running_cluster() as cluster:
        names = (f"customers{number}" for number in range(100))
        name = next(n for n in names if cluster.master(keys.swept(n, "")) is not cluster.master(events))
        terms = {key.replace("CUSTOMERS", name.upper(), 1): value for key, value in SWEEPING.items()}
        async with running_system(tmp_path, ROUTER_REDIS__URL=cluster.url, **erp_variables(erp), **terms) as system:
            made = {}
            for first in (0, 10):
                for number in range(first, first + 10):
                    await change(system, erp, number, lost=True)
                [swept] = await system.json("reconcile", "run", name)
                made[first] = swept["made"]
                if first == 0:
                    await asyncio.to_thread(cluster.await_replicas, events)
                    await asyncio.to_thread(cluster.cut_replication, events)
            assert made == {0: 10, 10: 10}
            old = await asyncio.to_thread(cluster.kill_master, events)
            await asyncio.to_thread(cluster.await_failover, old, events)
            assert len(await system.json("events", "list", "--limit", "100")) == 10
            [swept] = await system.json("reconcile", "run", name)
            assert (swept["made"], swept["error"]) == (10, None)
            found = await system.json("events", "list", "--limit", "100")
            assert Counter(event["resource"] for event in found) == {f"customer/{number}": 1 for number in range(20)}
            [swept] = await system.json("reconcile", "run", name)
            assert swept["made"] == 0
