"""Real workers that fetch records share the quotas of companies, while some of them are killed."""

import json
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.ports import reserve
from support.processes import System, ledger, running_system
from support.servers import starting
from support.waiting import eventually

from router.store import scripts
from router.store.client import Store, connect
from router.store.keys import Keys
from workers.erp.fake import FakeErp, Options, serving
from workers.erp.fake.gate import Pass, Window

pytestmark = pytest.mark.real

STREAM = "visma-net-financial/customer_changed"
BATCH = 50
MIRRORING = """
from workers import Record

mirror = Subscription("mirror", events=["*/customer_changed"], hydrate=True, concurrency=8, retry=Retry(max_attempts=5))

@mirror.handler
async def sync(delivery: Delivery, record: Record) -> None:
    failures = [error.error for error in delivery.errors]
    told = {"subscription": "mirror", "id": delivery.event.id, "failures": failures}
    ledger.write(json.dumps({**told, "deferred": delivery.deferred}) + "\\n")
"""


@dataclass(frozen=True)
class Size:
    """How much there is of everything; `window` in seconds, `kill_every` in events done."""

    workers: int
    companies: int
    events: int
    quota: int
    window: int
    kill_every: int

    @property
    def total(self) -> int:
        """How many events there are."""
        return self.companies * self.events


FEW = Size(workers=2, companies=3, events=25, quota=20, window=4, kill_every=20)
MANY = Size(workers=4, companies=10, events=250, quota=120, window=20, kill_every=400)
FULL = Size(workers=8, companies=20, events=1000, quota=500, window=60, kill_every=1500)


class Refusals:
    """How often each company was refused in each window of the ERP."""

    def __init__(self, erp: FakeErp) -> None:
        self.found = Counter[tuple[str, int]]()
        self.windows = set[int]()
        self._count, self._erp = erp.gate.count, erp
        erp.gate.count = self.count  # type: ignore[method-assign]

    def count(self, entrant: Pass) -> Window:
        """Count a request as the ERP does."""
        window, number = self._count(entrant), int(time.time() // self._erp.gate.window)
        self.windows.add(number)
        if window.exceeded:
            self.found[entrant.tenant, number] += 1
        return window


class Workers:
    """The workers of a test: started, killed and replaced."""

    def __init__(self, system: System, size: Size) -> None:
        self.system = system
        self.size = size
        self.killed = 0
        self._module = system.module(MIRRORING)
        self._random = random.Random(1)

    async def start(self) -> None:
        """Start one more."""
        await self.system.start("worker", self._module, ROUTER_OPS__PORT=str(reserve()))

    async def run(self) -> None:
        """Kill one whenever so many more events are done, and start another, until all are done."""
        for _ in range(self.size.workers):
            await self.start()
        for done in range(self.size.kill_every, self.size.total, self.size.kill_every):
            await eventually(lambda done=done: self.done >= done, timeout=300)  # type: ignore[misc]
            process = self._random.choice([each for each in self.system.processes if each.returncode is None])
            process.kill()
            await process.wait()
            self.killed += 1
            await self.start()
        await eventually(lambda: self.done >= self.size.total, timeout=300)

    @property
    def done(self) -> int:
        """How many events are done, twice handled ones too: a look that costs little."""
        return self.system.ledger.read_bytes().count(b"\n") if self.system.ledger.exists() else 0


async def publish(store: Store, size: Size) -> None:
    """Append the events of all companies, each a tenant of the ERP, in turns."""
    rows = [
        (f"c{company}-{number}", f"c{company}") for number in range(size.events) for company in range(size.companies)
    ]
    for start in range(0, len(rows), BATCH):
        fields: list[scripts.Field] = []
        for id_, tenant in (share := rows[start : start + BATCH]):
            raw = {"event": "customer_changed", "notificationId": id_, "TenantId": tenant, "companyId": "1"}
            raw["relativeResourceUri"] = "v1/customer/1"
            fields += ["id", id_, "at", int(time.time() * 1000), "raw", json.dumps(raw)]
        markers = [store.keys.seen(STREAM, id_) for id_, _ in share]
        await store.call(scripts.append(store.keys.events(STREAM), markers, fields, 3_600_000))


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    """Yield a system that runs nothing yet, on a server of its own."""
    with starting(socket_path=tmp_path / "s") as server:
        async with running_system(tmp_path, ROUTER_REDIS__URL=server.url) as running:
            yield running


@pytest.mark.parametrize(
    "size",
    [FEW, pytest.param(MANY, marks=pytest.mark.long), pytest.param(FULL, marks=pytest.mark.campaign)],
    ids=["few", "many", "full"],
)
async def test_workers_that_are_killed_overdraw_no_quota(system: System, size: Size) -> None:
    """Of each company at most one request is refused in a window, every event is done, and waiting is no attempt."""
    options = Options(quota=size.quota, window=size.window, invent=True)
    async with serving(FakeErp(options)) as erp:
        refusals = Refusals(erp)
        known = {"BASE_URL": erp.base_url, "TOKEN_URL": erp.token_url, "CLIENT_ID": "c", "CLIENT_SECRET": "s"}
        system.environment |= {f"ROUTER_ERP__VISMA_NET_FINANCIAL__{name}": value for name, value in known.items()}
        store = connect(system.environment["ROUTER_REDIS__URL"], Keys())
        try:
            await publish(store, size)
            workers, began = Workers(system, size), time.monotonic()
            await workers.run()
            await eventually(lambda: len(system.handled()) == size.total, timeout=300)
            dead = await store.client.xlen(store.keys.dead(STREAM, "mirror"))
        finally:
            await store.aclose()
    rows = ledger(system.ledger)
    taken = round(time.monotonic() - began)
    most = max(refusals.found.values(), default=0)
    sys.stdout.write(  # shown where the test fails, or with -s
        f"{len(rows)} times handled, {size.total} events, {taken} s, {len(refusals.windows)} windows, {workers.killed} "
        f"workers killed, {refusals.found.total()} requests refused, at most {most} of a company in a window\n"
    )
    assert most <= 1
    assert dead == 0
    assert len(refusals.windows) > 1
    assert any(row["deferred"] for row in rows)
    assert {failure for row in rows for failure in row["failures"]} <= {"WorkerLost"}
    assert workers.killed == (size.total - 1) // size.kill_every
