"""Records, fetched by real workers from the fake ERP that users start."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.processes import System, ledger, running_system
from support.waiting import eventually

pytestmark = pytest.mark.real

MIRRORING = """
from workers import Record
from workers.erp import ErpConflict, ErpUnavailable, erp_for

def kept(event, **found):
    ledger.write(json.dumps({"subscription": "mirror", "id": event.id, **found}) + "\\n")

mirror = Subscription("mirror", events=["*/customer_*"], hydrate=True, key="resource")

@mirror.handler
async def sync(event: Event, record: Record) -> None:
    kept(event, gone=record.gone, size=len(record.body["name"]), etag=record.etag)

writer = Subscription("writer", events=["*/supplier_*"])

@writer.handler
async def write(event: Event) -> None:
    async with erp_for(event) as erp, asyncio.timeout(20):
        record = await erp.get(event.resource_path)
        made = await erp.put(event.resource_path, {"name": "changed"}, if_match=record.etag)
        try:
            await erp.put(event.resource_path, {"name": "too late"}, if_match=record.etag)
        except ErpConflict as conflict:
            kept(event, status=conflict.status, changed=made.etag != record.etag)

hurry = Subscription("hurry", events=["*/account_*"], retry=Retry(max_attempts=2, first_delay=0.01, max_delay=0.01))

@hurry.handler
async def in_a_hurry(event: Event) -> None:
    async with erp_for(event) as erp:
        try:
            async with asyncio.timeout(0.01):
                await erp.get(event.resource_path)
        except TimeoutError:
            kept(event, late=True)
"""


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    """Yield a system that runs nothing yet."""
    async with running_system(tmp_path) as running:
        yield running


async def start_erp(system: System, *options: str) -> asyncio.subprocess.Process:
    """Start the fake ERP, and have what is started later use it, as it says."""
    process = await system.start("fake-erp", "--port", "0", *options)

    def said() -> list[str]:
        lines = map(str.strip, system.logs().splitlines())
        return [line.removeprefix("export ") for line in lines if line.startswith("export ROUTER_ERP__")]

    await eventually(lambda: len(said()) == 4)
    system.environment |= dict(line.split("=", 1) for line in said())
    return process


def notification(id_: str, entity: str = "customer", number: str = "55555") -> dict[str, Any]:
    """Return a notification of a record."""
    path = f"v1/{entity}/{number}"
    return {"notificationId": id_, "event": f"{entity}_changed", "relativeResourceUri": path, "TenantId": "t1"}


async def test_a_worker_mirrors_and_writes(system: System) -> None:
    """Real workers fetch and change records with the settings that the fake ERP prints; no body is stored or logged."""
    erp = await start_erp(system)
    await system.start("up", system.module(MIRRORING))
    await system.ready()
    checks = {check["name"]: check for check in (await system.json("doctor"))["checks"]}
    assert checks["erp of visma-net-financial"]["state"] == "ok"
    await system.post([notification(f"n{number}", number=str(number)) for number in range(20)])
    await system.post(notification("s", "supplier"))
    await system.post(notification("a", "account"))
    await eventually(lambda: len(ledger(system.ledger)) >= 21)
    found = {row["id"]: row for row in ledger(system.ledger)}
    assert {row["size"] for id_, row in found.items() if id_.startswith("n")} == {len("Customer 1"), len("Customer 11")}
    assert (found["s"]["status"], found["s"]["changed"]) == (412, True)
    stored = b"".join(file.read_bytes() for file in (system.folder / "data").rglob("*") if file.is_file())
    assert b"55555" in stored
    for text in ("Customer 1", "anything", "Bearer "):
        assert text.encode() not in stored, text
        assert text not in system.logs().replace("CLIENT_SECRET=anything", ""), text
    erp.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(erp.wait(), 30) == 0


@pytest.mark.long
async def test_an_attempt_leaves_the_erp_in_time(system: System) -> None:
    """A handler may give up on the ERP after a time of its own, and the next one finds the client as it was."""
    await start_erp(system, "--delay", "0.5")
    await system.start("up", system.module(MIRRORING))
    await system.ready()
    await system.post(notification("a", "account"))
    await eventually(lambda: any(row.get("late") for row in ledger(system.ledger)))
    await system.post(notification("n"))
    await eventually(lambda: any(row["id"] == "n" for row in ledger(system.ledger)))
    assert [row for row in ledger(system.ledger) if row["id"] == "a"] == [
        {"subscription": "mirror", "id": "a", "late": True}
    ]


async def test_a_worker_without_its_erp_does_not_start(system: System) -> None:
    """A worker says at start which settings are missing, with no traceback."""
    code, _, err = await system.run("worker", system.module(MIRRORING))
    assert code != 0
    assert "ROUTER_ERP__VISMA_NET_FINANCIAL__BASE_URL" in err
    assert "Traceback" not in err


async def test_a_port_that_is_taken(system: System) -> None:
    """The fake ERP says which port it cannot have, with no traceback."""
    await start_erp(system)
    port = system.environment["ROUTER_ERP__VISMA_NET_FINANCIAL__BASE_URL"].rstrip("/").rpartition(":")[2]
    code, _, err = await system.run("fake-erp", "--port", port)
    assert code == 1, json.dumps(err)
    assert f"127.0.0.1:{port} cannot be listened on (" in err
    assert "Traceback" not in err
