"""Requests to the ERP go through the limit that all workers share; against the fake ERP, on each kind of store."""

from support.erp import TENANT, erp_settings
from support.keyed_bench import STREAM, Bench
from support.waiting import eventually

from router.events.catalogue import Catalogue
from router.store.client import Store
from workers import Delivery, Record, Retry, Subscription
from workers.erp import open_clients
from workers.erp.fake import FakeErp
from workers.limits import Limiter, limiting
from workers.limits.of_erp import erp_limit
from workers.state.limits import limits


async def test_the_quota_of_a_company_is_never_overdrawn(store: Store, catalogue: Catalogue, erp: FakeErp) -> None:
    """Three workers fetch what the quota has, less the reserve; the rest is deferred, the ERP refuses none."""
    erp.gate.quota = 10
    bench, handled = Bench(store, catalogue), list[str]()
    subscription = Subscription("sub", events=[STREAM], hydrate=True, retry=Retry(max_attempts=1))

    @subscription.handler
    async def mirror(delivery: Delivery, record: Record) -> None:
        handled.append(delivery.event.id)

    await bench.publish(*(f"e{number}@1" for number in range(14)))
    async with open_clients(erp_settings(erp, tenant_id=TENANT), quota=erp_limit()):
        for name in ("c1", "c2", "c3"):
            async with limiting(Limiter(store, name, bench.metrics)):
                await bench.start(subscription, name)
        await eventually(lambda: len(handled) == 9)

        async def all_wait() -> bool:
            return bool(await store.client.zcard(store.keys.due(STREAM, "sub")) == 5)

        await eventually(all_wait)
        for consumer in list(bench.alive):
            await bench.stop(consumer)
    assert erp.refused(TENANT) == 0
    assert bench.count(subscription, "dead") == bench.count(subscription, "retried") == 0
    [found] = await limits(store)
    [quota] = found.quotas
    assert (found.name, quota.subject, quota.state) == ("erp", "visma-net-financial/1", "used up")
    assert (quota.limit, quota.left) == (10, 1)


async def test_an_answer_that_is_too_large_is_an_answer(store: Store, catalogue: Catalogue, erp: FakeErp) -> None:
    """A request whose answer cannot be read has ended: nobody waits for it to find out how much there is."""
    bench, handled = Bench(store, catalogue), list[str]()
    subscription = Subscription("sub", events=[STREAM], hydrate=True, retry=Retry(max_attempts=1))

    @subscription.handler
    async def mirror(delivery: Delivery, record: Record) -> None:
        handled.append(delivery.event.id)

    erp.books(TENANT).put("v1/customer/large", {"name": "x" * 10_000})
    settings = erp_settings(erp, tenant_id=TENANT, max_body=5000)
    async with open_clients(settings, quota=erp_limit()), limiting(Limiter(store, "c1", bench.metrics)):
        await bench.publish("large@large")
        await bench.start(subscription)
        await eventually(lambda: bench.count(subscription, "dead") == 1)
        await bench.publish("small@1")
        await eventually(lambda: handled == ["small"], timeout=10)
        for consumer in list(bench.alive):
            await bench.stop(consumer)
