"""Real workers, some of them killed, while the ERP is down: it is left alone, and all is done soon after."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.ports import reserve
from support.processes import System, ledger, running_system
from support.servers import starting
from support.waiting import eventually

from workers.erp.fake import FakeErp, Options, serving

pytestmark = pytest.mark.real

INTERVAL = 10.0
"""Seconds between two probes of an ERP."""
MIRRORING = """
from workers import Record

retry = Retry(first_delay=0.1)
mirror = Subscription("mirror", events=["*/customer_changed"], hydrate=True, concurrency=4, retry=retry)

@mirror.handler
async def sync(event: Event, record: Record) -> None:
    note("mirror", event)
"""


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    """Yield a system that runs nothing yet, on a server of its own."""
    with starting(socket_path=tmp_path / "s") as server:
        async with running_system(tmp_path, ROUTER_REDIS__URL=server.url) as running:
            yield running


@pytest.mark.long
async def test_workers_are_killed_in_an_outage(system: System) -> None:
    """A minute of 503 under load: no event dies, one probe in ten seconds at most, all is done two minutes later."""
    requests: list[float] = []
    async with serving(FakeErp(Options(invent=True, quota=1_000_000))) as erp:
        erp.on_request = lambda _method, _path: requests.append(time.monotonic())
        known = {"BASE_URL": erp.base_url, "TOKEN_URL": erp.token_url, "CLIENT_ID": "c", "CLIENT_SECRET": "s"}
        system.environment |= {f"ROUTER_ERP__VISMA_NET_FINANCIAL__{name}": value for name, value in known.items()}
        await system.start("ingress")
        await eventually(lambda: "ingress_started" in system.logs())
        module, sent = system.module(MIRRORING), 0

        async def work(seconds: float) -> None:
            nonlocal sent
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                items = [f"n{number}" for number in range(sent, sent + 20)]
                path = {"event": "customer_changed", "relativeResourceUri": "v1/customer/1", "TenantId": "t1"}
                await system.post([{"notificationId": id_, **path} for id_ in items])
                sent += 20
                await asyncio.sleep(0.25)  # so many a second, whatever becomes of them

        workers = [await system.start("worker", module, ROUTER_OPS__PORT=str(reserve())) for _ in range(4)]
        await work(2)
        await eventually(lambda: len(system.handled()) == sent)  # workers are up, and have a token
        erp.failing = 503
        requests.clear()
        for worker in workers[:2]:
            await work(15)
            worker.kill()
            await worker.wait()
            await system.start("worker", module, ROUTER_OPS__PORT=str(reserve()))
        await work(30)
        erp.failing, ended, asked = None, time.monotonic(), requests.copy()
        await eventually(lambda: len(system.handled()) == sent, timeout=180)
        assert time.monotonic() - ended < 120
    ran_as_it_opened = 4 + 4 * 4
    assert 0 < len(asked) <= ran_as_it_opened + (asked[-1] - asked[0]) / INTERVAL + 1
    assert (await system.json("dlq", "list")) == []
    assert len(ledger(system.ledger)) >= sent
    [breaker] = [row for row in await system.json("breakers", "list") if not row["name"].endswith("token")]
    assert (breaker["name"], breaker["state"]) == ("erp.visma-net-financial", "closed")
