"""An outage of the ERP under load: nothing dies of it, it is left alone, and all is done soon after; on each store."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from random import Random

import pytest
from support.erp import SLUG, TENANT, customer_event, erp_settings
from support.keyed_bench import STREAM, Bench
from support.waiting import eventually

from router.events.catalogue import Catalogue
from router.store.client import Store
from workers import Delivery, Record, Retry, Subscription
from workers.breakers import Breakers, breaking
from workers.breakers.of_erp import ErpBreaker, erp_breaker
from workers.erp import ErpDown, ErpUnavailable, erp_for, open_clients
from workers.erp.fake import FakeErp, serving

ATTEMPTS = 8
WORKERS = 3
CONCURRENCY = 8
KINDS = ("503", "hangs", "refuses")


def probing_every(interval: float) -> Callable[[str], ErpBreaker]:
    """Return what makes breakers with a shorter interval."""
    return lambda name: ErpBreaker(name, interval=interval, failed_by=ErpUnavailable)


class Outage:
    """Workers that fetch a record for each event, while the ERP is down for so many seconds."""

    def __init__(self, bench: Bench, erp: FakeErp, interval: float) -> None:
        self.bench = bench
        self.erp = erp
        self.interval = interval
        self.requests: list[float] = []
        self.done: dict[str, int] = {}
        self.published = 0
        self.site = AsyncExitStack()
        self.port = 0
        erp.on_request = lambda _method, _path: self.requests.append(time.monotonic())
        retry = Retry(max_attempts=ATTEMPTS, first_delay=0.01, max_delay=0.1)
        self.subscription = Subscription("sub", events=[STREAM], hydrate=True, retry=retry, concurrency=CONCURRENCY)

        @self.subscription.handler
        async def mirror(delivery: Delivery, record: Record) -> None:
            self.done[delivery.event.id] = delivery.attempt

    async def serve(self, port: int = 0) -> None:
        """Serve the ERP."""
        await self.site.enter_async_context(serving(self.erp, port=port))
        self.port = int(self.erp.url.rpartition(":")[2])

    async def publish(self, number: int) -> None:
        """Have so many events come."""
        first, self.published = self.published, self.published + number
        await self.bench.publish(*(f"e{number}@1" for number in range(first, self.published)))

    async def start(self, workers: int) -> None:
        """Start workers."""
        for number in range(workers):
            async with breaking(Breakers(self.bench.store, self.bench.metrics, random=Random(number))):
                await self.bench.start(self.subscription, f"c{number}")

    async def last(self, seconds: float, kind: str = "503") -> None:
        """Have the ERP fail for so long, while events come: answer 503, hang, or refuse connections."""
        self.erp.failing = 503 if kind == "503" else None
        if kind == "hangs":
            self.erp.gate_open.clear()
        if kind == "refuses":
            await self.site.aclose()
        self.requests.clear()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await self.publish(5)
            await asyncio.sleep(seconds / 40)
        self.erp.failing = None
        self.erp.gate_open.set()
        if kind == "refuses":
            await self.serve(self.port)

    async def end(self, within: float) -> None:
        """Wait until all is done; nothing is dead, and the ERP was asked for little more than the probes."""
        probes, began = self.requests.copy(), time.monotonic()
        await eventually(lambda: len(self.done) == self.published, timeout=60)
        assert time.monotonic() - began < within
        assert self.bench.count(self.subscription, "dead") == 0
        assert max(self.done.values()) < ATTEMPTS
        if probes:  # where no connection was made, none has come
            self.check(probes)

    def check(self, requests: list[float]) -> None:
        """Hold the requests of the outage to what ran as the breaker opened, and a probe for each interval."""
        before_it_opened = 4 + WORKERS * CONCURRENCY
        assert len(requests) <= before_it_opened + (requests[-1] - requests[0]) / self.interval + 1


@pytest.mark.parametrize(
    ("kind", "seconds", "interval", "within"),
    [
        (KINDS[0], 3.0, 0.2, 30.0),
        *(pytest.param(kind, 3.0, 0.2, 30.0, marks=pytest.mark.long) for kind in KINDS[1:]),
        pytest.param(KINDS[0], 60.0, 1.0, 12.0, marks=pytest.mark.long),
        *(pytest.param(kind, 60.0, 1.0, 12.0, marks=pytest.mark.campaign) for kind in KINDS[1:]),
    ],
    ids=[*(f"{kind}-seconds" for kind in KINDS), *(f"{kind}-minute" for kind in KINDS)],
)
async def test_an_outage_under_load(
    store: Store, catalogue: Catalogue, kind: str, seconds: float, interval: float, within: float
) -> None:
    """No event dies, the ERP gets a probe for each interval at most, and all is done soon after it is back.

    A minute with a probe each second stands for ten of them with one each ten seconds: then all is done in two minutes.
    """
    outage = Outage(Bench(store, catalogue), erp := FakeErp(), interval)
    async with outage.site:
        await outage.serve()
        settings = erp_settings(erp, tenant_id=TENANT, timeout=interval * 1.5)
        async with open_clients(settings, breaker=probing_every(interval)):
            await outage.start(WORKERS)
            await outage.publish(20)
            await eventually(lambda: len(outage.done) == 20)
            await outage.last(seconds, kind)
            await outage.end(within)
            for consumer in list(outage.bench.alive):
                await outage.bench.stop(consumer)


async def test_what_gives_tokens_has_a_breaker_of_its_own(store: Store, erp: FakeErp) -> None:
    """Where no token is to be had, nobody asks for one in vain, and the ERP itself is not taken to be down."""
    async with (
        breaking(Breakers(store)),
        open_clients(erp_settings(erp), breaker=erp_breaker) as clients,
    ):
        erp.failing = 503
        asked = clients.for_event(customer_event())
        for _ in range(4):
            with pytest.raises(ErpUnavailable):
                await asked.get("v1/customer/1")
        with pytest.raises(ErpDown, match=rf"erp\.{SLUG}\.token is down"):
            await asked.get("v1/customer/1")
        so_far = len(erp.token_requests) + len(erp.seen)
        with pytest.raises(ErpDown) as deferred:
            await asked.get("v1/customer/1")
        assert 0 < deferred.value.delay < 30
        assert len(erp.token_requests) + len(erp.seen) == so_far


async def test_a_record_that_is_refused_opens_nothing(store: Store, erp: FakeErp) -> None:
    """4xx, however often, and a 404 that says that a record is gone, are answers."""
    async with breaking(Breakers(store)), open_clients(erp_settings(erp), breaker=erp_breaker):
        for _ in range(10):
            async with erp_for(customer_event()) as asked:
                assert (await asked.get("v1/customer/none")).gone
        assert not await store.client.exists(store.keys.breaker(f"erp.{SLUG}"))
