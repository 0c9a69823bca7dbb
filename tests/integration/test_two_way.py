"""Two-way sync with an ERP while workers are killed at random: it does not go round, and drops no foreign change."""

import asyncio
import contextlib
import json
import random
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.erp import erp_settings, erp_variables
from support.ports import reserve
from support.processes import System, ledger, running_system
from support.servers import starting
from support.waiting import eventually

from router.events.catalogue import Catalogue
from router.store import scripts
from router.store.client import Store, connect
from router.store.keys import Keys
from workers import once
from workers.echoes.noted import NotedWrites
from workers.erp import ErpConflict, erp_for, open_clients
from workers.erp.fake import FakeErp, Options, serving
from workers.erp.fake.books import Entry
from workers.operations.figures import figures
from workers.testing import sample_event

pytestmark = [pytest.mark.real, pytest.mark.long]

STREAM = "visma-net-financial/customer_changed"
TENANT = "t1"
LEASE = 1.0
TIMEOUT = 5.0
"""Seconds that an attempt and a request may take. What a killed worker had under way is waited for until then."""
IDLE = 5 * (2 * TIMEOUT + 5)
"""Seconds in which something must become of an event: five times what it may wait for a write of a killed worker."""
SYNCING = """
import sqlite3
from workers import Record, once
from workers.erp import erp_for

both = Subscription(
    "both", events=["*/customer_changed"], key="resource", hydrate=True, echo="drop", concurrency=8, timeout=5,
    retry=Retry(max_attempts=50, first_delay=0.02, max_delay=0.5),
)

@both.handler
async def sync(delivery: Delivery, record: Record) -> None:
    event = delivery.event
    rev = record.body["rev"]
    async with erp_for(event) as erp:
        await erp.put(event.resource_path, {"seen": rev}, if_match=record.etag)
    connection = sqlite3.connect(os.environ["OTHER"], timeout=10)
    try:
        with once(delivery, connection):
            connection.execute("INSERT OR REPLACE INTO records VALUES (?, ?)", (event.resource_path, rev))
    finally:
        connection.close()
        note("both", event)
"""


@dataclass(frozen=True)
class Size:
    """How much there is of everything; `writes` are those of both sides, at least; `kills` workers that are killed."""

    records: int
    writes: int
    kills: int


FEW = Size(records=6, writes=60, kills=2)
MANY = Size(records=40, writes=1000, kills=15)
FULL = Size(records=40, writes=4000, kills=60)


class Both:
    """An ERP that sends a webhook for each change, some twice, and the database of the other side."""

    def __init__(self, erp: FakeErp, store: Store, other: Path, size: Size) -> None:
        self.store = store
        self.other = other
        self.size = size
        self.random = random.Random(7)
        self.versions = 0
        self.foreign: dict[str, int] = {}
        self._books = erp.books(TENANT)
        self._put, self._books.put = self._books.put, self._noted  # type: ignore[method-assign]
        self._changed = asyncio.Queue[str]()
        with closing(sqlite3.connect(other)) as connection, connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE records (path TEXT PRIMARY KEY, rev INTEGER)")
            once.create(connection)

    @property
    def paths(self) -> list[str]:
        """The records."""
        return [f"v1/customer/{number}" for number in range(self.size.records)]

    def rows(self) -> dict[str, int]:
        """Return what the other side has."""
        with closing(sqlite3.connect(self.other)) as connection:
            return dict(connection.execute("SELECT path, rev FROM records"))

    def change(self, path: str, rev: int) -> None:
        """Change a record, as somebody in the ERP does."""
        before = self._books.get(path)
        self.foreign[path] = rev
        self._books.put(path, {**(before.body if before else {"seen": 0}), "rev": rev})

    async def send(self) -> None:
        """Send webhooks for what is changed, until cancelled."""
        while True:
            path = await self._changed.get()
            self.versions += 1
            for _ in range(2 if self.random.random() < 0.05 else 1):
                await self._append(f"e{self.versions}", path)
            self._changed.task_done()

    async def all_sent(self) -> None:
        """Return once all webhooks are sent."""
        await self._changed.join()

    def _noted(self, path: str, body: Any) -> Entry:
        self._changed.put_nowait(path)
        return self._put(path, body)

    async def _append(self, id_: str, path: str) -> None:
        raw = {"event": "customer_changed", "notificationId": id_, "TenantId": TENANT, "companyId": "7"}
        fields: list[scripts.Field] = ["id", id_, "at", int(time.time() * 1000)]
        fields += ["raw", json.dumps({**raw, "relativeResourceUri": path})]
        keys = self.store.keys
        await self.store.call(scripts.append(keys.events(STREAM), [keys.seen(STREAM, id_)], fields, 3_600_000))


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    """Yield a system that runs nothing yet, on a server of its own."""
    with starting(socket_path=tmp_path / "s") as server:
        quick = {"ROUTER_WORKERS__LEASE": str(LEASE), "OTHER": str(tmp_path / "other.db")}
        async with running_system(tmp_path, ROUTER_REDIS__URL=server.url, **quick) as running:
            yield running


async def write(both: Both, settings: Any, killing: "asyncio.Task[None]") -> int:
    """Write from both sides until all is written and killed; return how often."""
    written = 0
    async with open_clients(settings, writes=NotedWrites(both.store)):
        while written < both.size.writes or not killing.done():
            written += 1
            path = both.random.choice(both.paths)
            if both.random.random() < 0.7:
                both.change(path, written)
            else:
                event = sample_event(STREAM, tenant_id=TENANT, company_id="7", resource_path=path)
                async with erp_for(event) as erp:
                    with contextlib.suppress(ErpConflict):
                        await erp.put(path, {"ours": written})
            await asyncio.sleep(both.random.uniform(0, 0.03 if written < both.size.writes else 0.3))
    return written


async def kill(system: System, module: str, size: Size, random_: random.Random) -> None:
    """Kill a worker now and then, and start another in its place."""
    for _ in range(size.kills):
        handled = len(ledger(system.ledger))
        await eventually(lambda handled=handled: len(ledger(system.ledger)) > handled + 3, timeout=120)
        process = random_.choice([each for each in system.processes if each.returncode is None])
        process.kill()
        await process.wait()
        await system.start("worker", module, ROUTER_OPS__PORT=str(reserve()))


async def quiet(both: Both, store: Store, system: System) -> None:
    """Wait until no event is unfinished, as long as they become fewer or are handled, however slow the machine is."""
    seen: tuple[int, int, int] | None = None
    while True:
        await both.all_sent()
        rows = (await figures(store, Catalogue.load(), LEASE)).rows
        unfinished = sum(row.unfinished for row in rows)
        if not unfinished:
            return
        before, seen = seen, (unfinished, both.versions, len(ledger(system.ledger)))
        if seen != before:
            moved = time.monotonic()
        assert time.monotonic() < moved + IDLE, f"nothing becomes of {unfinished} events: {rows}"
        await asyncio.sleep(0.25)


@pytest.mark.parametrize(
    "size", [FEW, MANY, pytest.param(FULL, marks=pytest.mark.campaign)], ids=["few", "many", "full"]
)
async def test_workers_that_are_killed_go_round_with_nothing_and_drop_nothing(system: System, size: Size) -> None:
    """Each foreign change reaches the other side, and events end: nothing that we write makes us write again."""
    module = system.module(SYNCING)
    # What the quota defers comes again after an hour: here it is to hold up nothing.
    async with serving(FakeErp(options=Options(quota=1_000_000))) as erp:
        system.environment |= erp_variables(erp)
        system.environment["ROUTER_ERP__VISMA_NET_FINANCIAL__TIMEOUT"] = str(TIMEOUT)
        store = connect(system.environment["ROUTER_REDIS__URL"], Keys())
        both = Both(erp, store, Path(system.environment["OTHER"]), size)
        sending = asyncio.create_task(both.send())
        try:
            for path in both.paths:
                both.change(path, 0)
            for _ in range(3):
                await system.start("worker", module, ROUTER_OPS__PORT=str(reserve()))
            killing = asyncio.create_task(kill(system, module, size, both.random))
            written = await write(both, erp_settings(erp, timeout=TIMEOUT), killing)
            await killing

            await quiet(both, store, system)
            dead = await store.client.xlen(store.keys.dead(STREAM, "both"))
        finally:
            sending.cancel()
            await store.aclose()
    runs = len(ledger(system.ledger))
    sys.stdout.write(f"{written} writes, {both.versions} versions, {runs} runs, {size.kills} workers killed\n")
    assert dead == 0
    assert both.rows() == both.foreign
    # Each run writes once, and what it wrote is an echo, unless its worker died with it: then it is handled in doubt.
    assert both.versions <= size.records + written + 2 * runs
    assert runs <= size.records + written + 50 * size.kills
