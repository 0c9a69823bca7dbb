"""Feedback of real workers, into the fake ERP: with kills, and with an ERP that answers nothing."""

import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.erp import TENANT
from support.processes import System, running_system
from support.waiting import eventually

from workers.erp.fake import FakeErp, serving

pytestmark = pytest.mark.real

TELLING = """
told = Subscription("told", events=["*/customer_*"], feedback=True, retry=Retry(max_attempts=4, first_delay=0.05,
    max_delay=0.05))

@told.handler
async def handle(delivery: Delivery) -> None:
    note("told", delivery.event)
    if delivery.event.id.startswith("kills") and delivery.attempt < 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if delivery.event.id.startswith("dead"):
        raise ValueError("no room")
"""


@pytest.fixture
async def erp() -> AsyncIterator[FakeErp]:
    """Yield a fake ERP that serves."""
    async with serving(FakeErp()) as found:
        yield found


@pytest.fixture
async def system(tmp_path: Path, erp: FakeErp) -> AsyncIterator[System]:
    """Yield a system whose workers know the ERP, and that runs nothing yet."""
    known = {"BASE_URL": erp.base_url, "TOKEN_URL": erp.token_url, "CLIENT_ID": "c", "CLIENT_SECRET": "s3cret"}
    environment = {f"ROUTER_ERP__VISMA_NET_FINANCIAL__{name}": value for name, value in known.items()}
    async with running_system(tmp_path, **environment) as running:
        yield running


def notification(id_: str) -> dict[str, Any]:
    """Return a notification of a customer."""
    path = f"v1/customer/{id_}"
    return {"notificationId": id_, "event": "customer_changed", "relativeResourceUri": path, "TenantId": TENANT}


@pytest.mark.long
async def test_workers_that_are_killed_say_nothing_wrong(system: System, erp: FakeErp) -> None:
    """Killed workers lose notes and no events: nothing is said twice, or before the store knows it, or otherwise."""
    await system.start("up", system.module(TELLING))
    await system.ready()
    names = [f"{kind}{number}" for number in range(4) for kind in ("n", "dead", "kills")]
    await system.post([notification(name) for name in names])
    await eventually(lambda: set(system.handled("told")) == set(names), timeout=120)
    last = [f"last{number}" for number in range(10)]
    await eventually(lambda: any(name.startswith("kills") for name in said(erp)), timeout=120)
    await system.post([notification(name) for name in last])
    await eventually(lambda: set(last) <= set(said(erp)), timeout=120)
    assert max(said(erp).values()) == 1
    assert set(said(erp)) <= {*names, *last}
    for tenant, body in erp.feedback:
        dead = body["notificationId"].startswith("dead")
        assert (tenant, body["source"], body["isSuccess"]) == (TENANT, "told", not dead)
        assert body["description"] == ("failed 4 of 4 attempts: ValueError: no room" if dead else "done")
    (place,) = (await system.json("events", "show", "kills0"))["subscriptions"]
    assert place["state"] == "done"


@pytest.mark.long
async def test_an_erp_that_does_not_answer_keeps_no_worker(system: System, erp: FakeErp) -> None:
    """A worker with feedback that nobody takes stops in its time, says how much is left, and has settled all events."""
    erp.gate_open.clear()
    process = await system.start("up", system.module(TELLING))
    await system.ready()
    await system.post([notification(f"n{number}") for number in range(20)])
    await eventually(lambda: len(system.handled("told")) == 20)

    async def all_done() -> bool:
        streams = (await system.json("streams"))[0]["subscriptions"]
        return all(not row["lag"] and not row["pending"] for row in streams)

    await eventually(all_done)
    began = time.monotonic()
    process.terminate()
    assert await process.wait() == 0
    assert time.monotonic() - began < 20
    assert [line["notes"] for line in system.said("feedback_not_posted")] == [20]
    assert system.handled("told") == Counter({f"n{number}": 1 for number in range(20)})


def said(erp: FakeErp) -> Counter[str]:
    """Return how often each notification was spoken of."""
    return Counter(body["notificationId"] for _, body in erp.feedback)
