"""A system under load on a deployment that a test breaks, and what became of every event that it answered for."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Collection
from pathlib import Path

from faults.fates import dies
from faults.ledger import Ledger
from faults.load import SECRET, STREAMS, Journal, Load
from faults.stored import Stored, look
from faults.verdict import Verdict, compare
from support.processes import System, running_system
from support.waiting import eventually

__all__ = ["Loaded", "loaded"]

_HERE = Path(__file__).parent
_SUBSCRIPTIONS = ("plain", "retrying", "batches", "threads", "mortal")
_QUIET = 5.0
"""Seconds in which nothing more is handled after which what has not arrived is taken for lost."""
_PATIENCE = 60.0


class Loaded:
    """One ingress and one worker with subscriptions of every kind, and the load on them."""

    def __init__(self, system: System, url: str, rate: float) -> None:
        self.system = system
        self.url = url
        self.journal = Journal()
        self.ledger = Ledger(system.folder / "ledger", _SUBSCRIPTIONS)
        self.load = Load([f"http://127.0.0.1:{system.port}"], self.journal, rate=rate)

    async def start(self) -> None:
        """Start the processes, and the load once all subscriptions handle."""
        ingress, worker = self.system, str(_HERE / "modules" / "handlers.py")
        self.ledger.folder.mkdir()
        await ingress.start("ingress")
        await ingress.start("worker", worker, ROUTER_OPS__PORT="0")
        await ingress.ready()
        await self.load.start()
        await self.handled_after(time.monotonic())

    async def handled_after(self, moment: float, streams: Collection[str] = STREAMS) -> float:
        """Wait until every subscription has handled something first sent after `moment`, from each of these streams.

        Return how many seconds after that moment this was.
        """
        journal, seconds = self.journal, 0.0

        def every_one() -> bool:
            nonlocal seconds
            self.ledger.refresh()
            latest = 0.0
            for handled in self.ledger.handled.values():
                first: dict[str, float] = {}
                for id_, handlings in handled.items():
                    if journal.first_sent.get(id_, 0.0) > moment:
                        first.setdefault(journal.sent[id_].stream, handlings[0].at)
                if not set(streams) <= first.keys():
                    return False
                latest = max(latest, *(first[stream] for stream in streams))
            seconds = latest - moment
            return True

        await eventually(every_one, timeout=_PATIENCE, interval=0.05)
        return seconds

    async def verdict(self) -> Verdict:
        """Stop the load, wait until all that is there has come to its end, and compare."""
        await self.load.stop(within=_PATIENCE)
        clock = asyncio.get_running_loop().time
        deadline, quiet_since, before = clock() + _PATIENCE, clock(), -1
        while True:
            verdict, stored = await self._compare()
            count = sum(verdict.totals.values())
            if count != before:
                quiet_since, before = clock(), count
            arrived = stored.settled and not any(verdict.lost.values())
            if arrived or clock() > min(deadline, quiet_since + _QUIET if stored.settled else deadline):
                return verdict
            await asyncio.sleep(0.2)

    async def _compare(self) -> tuple[Verdict, Stored]:
        stored = await look(self.url, STREAMS, _SUBSCRIPTIONS)
        self.ledger.refresh()
        # What was done in the last moments before a failover may be unknown to the new master, and is done again.
        verdict = compare(
            self.journal, self.ledger, stored, meant_to_die={"mortal": dies}, explain=lambda _double: "failover"
        )
        return verdict, stored


@contextlib.asynccontextmanager
async def loaded(folder: Path, url: str, *, rate: float = 100.0, **settings: str) -> AsyncIterator[Loaded]:
    """Yield a system under load on the store at `url`; `settings` are environment variables of its processes."""
    environment = {
        "PYTHONPATH": str(_HERE.parent),
        "FAULTS_LEDGER": str(folder / "ledger"),
        "FAULTS_STREAMS": " ".join(STREAMS),
        "ROUTER_REDIS__URL": url,
        "ROUTER_REDIS__COMMAND_TIMEOUT": "2",
        "ROUTER_INGRESS__STORE_TIMEOUT": "1.5",
        "ROUTER_WORKERS__LEASE": "1.5",
        "ROUTER_SECRETS__VISMA_NET_FINANCIAL": SECRET,
        "ROUTER_SECRETS__VISMA_NET_JOURNAL_TRANSACTION": SECRET,
        **settings,
    }
    async with running_system(folder, **environment) as system:
        under_load = Loaded(system, url, rate)
        try:
            await under_load.start()
            yield under_load
        finally:
            with contextlib.suppress(TimeoutError):
                await under_load.load.stop(within=0)
