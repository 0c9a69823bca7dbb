"""Running subscriptions leave the echoes of our own writes out, and nothing else; on each kind of store."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from support.erp import TENANT, customer_event, erp_settings
from support.keyed_bench import STREAM, Bench
from support.waiting import eventually

from config.errors import ConfigError
from router.cli.events.show import place_text
from router.events.catalogue import Catalogue
from router.store.client import Store
from workers import Delivery, Record, Retry, RetryLater, Subscription
from workers.delivery import AttemptError, Merged
from workers.echoes.guard import may_be_echo
from workers.echoes.noted import NotedWrites
from workers.erp import ErpUnavailable, erp_for, open_clients
from workers.erp.fake import FakeErp
from workers.erp.fake.books import Books
from workers.operations.events import Browser, EventFilter
from workers.operations.handover import Handover
from workers.operations.life import life

PATH = "v1/customer/1"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
OTHER = Merged("e0", "customer_changed", NOW, "visma-net-financial")
KEYS = pytest.mark.parametrize("key", [None, "resource"])
QUICK = Retry(max_attempts=3, first_delay=0.01, max_delay=0.01)


class TwoWays(Bench):
    """A bench whose ERP sends a webhook for each change of customer 1."""

    def __init__(self, store: Store, catalogue: Catalogue, erp: FakeErp) -> None:
        super().__init__(store, catalogue)
        self.erp = erp
        self.versions: list[str] = []
        self.sent = 0

    @property
    def books(self) -> Books:
        """The records of the tenant."""
        return self.erp.books(TENANT)

    async def send(self, number: int = 1, action: str = "changed") -> None:
        """Send so many webhooks of the customer."""
        for _ in range(number):
            self.sent += 1
            await self.publish(f"e{self.sent}@1", stream=STREAM.replace("changed", action))

    def subscribe(self, work: Any, **options: Any) -> Subscription:
        """Return a subscription without echoes that notes the versions it is given."""
        subscription = Subscription(
            "sub", events=["visma-net-financial/customer_*"], hydrate=True, echo="drop", **options
        )

        @subscription.handler
        async def handle(delivery: Delivery, record: Record) -> None:
            self.versions.append(record.etag or "gone")
            await work(delivery, record)

        return subscription

    async def finished(self, subscription: Subscription, number: int) -> None:
        """Wait until so many events are done."""
        await eventually(lambda: self.count(subscription, "done") == number)

    def echoes(self) -> float:
        """Return how many events were echoes."""
        return self.registry.get_sample_value("event_router_echoes_total", {"subscription": "sub"}) or 0.0


@pytest.fixture
async def bench(store: Store, catalogue: Catalogue, erp: FakeErp) -> AsyncIterator[TwoWays]:
    """Yield the bench; what a test leaves running is stopped."""
    bench = TwoWays(store, catalogue, erp)
    async with open_clients(erp_settings(erp, tenant_id=TENANT), writes=NotedWrites(store)):
        bench.books.put(PATH, {"name": "Ada"})
        yield bench
        for consumer in list(bench.alive):
            await bench.stop(consumer)


async def write_back(delivery: Delivery, record: Record, **options: Any) -> None:
    """Change the record that was fetched."""
    async with erp_for(delivery.event) as erp:
        await erp.put(PATH, {"seen": record.etag}, **options)


@KEYS
@pytest.mark.parametrize("conditional", [True, False])
async def test_a_write_of_ours_comes_back(bench: TwoWays, key: Any, conditional: bool) -> None:  # noqa: FBT001 - a parameter
    """The event of what the handler wrote is done without it, counted, and `events show` says why; its write too."""

    async def work(delivery: Delivery, record: Record) -> None:
        await write_back(delivery, record, if_match=record.etag if conditional else None)
        await bench.send()

    subscription = bench.subscribe(work, key=key)
    await bench.send()
    await bench.start(subscription)
    await bench.finished(subscription, 2)
    assert bench.versions == ['"1"']
    assert bench.echoes() == 1
    browser = Browser(bench.store, bench.catalogue)
    shown = []
    for id_ in ("e1", "e2"):
        stored = await browser.find(id_)
        assert stored is not None
        (place,) = (await life(bench.store, stored)).subscriptions
        shown.append((place.state, place.echo, place_text(place).partition(":")[0]))
    assert shown == [("done", False, "nothing is left to do"), ("done", True, "an echo")]


@KEYS
async def test_the_echo_that_comes_while_its_writer_is_at_work(bench: TwoWays, key: Any) -> None:
    """An event of a write whose attempt is still under way waits, without an attempt; in the end it is an echo."""
    go_on = asyncio.Event()

    async def work(delivery: Delivery, record: Record) -> None:
        await write_back(delivery, record, if_match=record.etag)
        await bench.send()
        await go_on.wait()

    subscription = bench.subscribe(work, key=key)
    await bench.send()
    await bench.start(subscription)
    if key is None:
        await eventually(lambda: bench.count(subscription, "deferred") > 0)
    go_on.set()
    await bench.finished(subscription, 2)
    assert bench.versions == ['"1"']
    assert bench.count(subscription, "retried") == 0


@KEYS
async def test_a_change_of_somebody_else(bench: TwoWays, key: Any) -> None:
    """What somebody changed after our write, or between our fetch and our write, is handled."""
    turns = iter(["before", "after"])

    async def work(delivery: Delivery, record: Record) -> None:
        turn = next(turns, None)
        if turn == "before":
            bench.books.put(PATH, {"name": "Bea"})
        if turn:
            await write_back(delivery, record)
        if turn == "after":
            bench.books.put(PATH, {"name": "Cid"})
        await bench.send(2 if turn else 0)

    subscription = bench.subscribe(work, key=key)
    await bench.send()
    await bench.start(subscription)
    await bench.finished(subscription, 5)
    # 1 ours; 2 is Bea, 3 our write on it; 4 our write on 3, 5 is Cid
    assert bench.versions[:3] == ['"1"', '"3"', '"5"']


async def test_a_failed_attempt_is_made_again(bench: TwoWays) -> None:
    """An attempt that wrote and failed is made again, whatever is in the record; the echo of its write is one event."""

    async def work(delivery: Delivery, record: Record) -> None:
        if delivery.attempt == 1:
            await write_back(delivery, record)
            raise RetryLater(0.01)

    subscription = bench.subscribe(work, retry=QUICK)
    await bench.send()
    await bench.start(subscription)
    await bench.finished(subscription, 1)
    assert bench.versions == ['"1"', '"2"']


async def test_another_subscription_of_ours(bench: TwoWays) -> None:
    """A write on a version that the subscription has handled is an echo, whichever handler makes it."""

    async def work(_delivery: Delivery, _record: Record) -> None:
        pass

    subscription = bench.subscribe(work)
    await bench.send()
    await bench.start(subscription)
    await bench.finished(subscription, 1)
    async with erp_for(customer_event(company_id="1")) as erp:
        await erp.put(PATH, {"name": "Bea"})
        await erp.put(PATH, {"name": "Cid"}, if_match='"2"')
    await bench.send(2)
    await bench.finished(subscription, 3)
    assert bench.versions == ['"1"']
    assert bench.echoes() == 2


async def test_a_write_on_what_was_not_handled(bench: TwoWays) -> None:
    """A write of ours on a change that the subscription has not handled hides nothing: its event is handled."""

    async def work(_delivery: Delivery, _record: Record) -> None:
        pass

    subscription = bench.subscribe(work)
    async with erp_for(customer_event(company_id="1")) as erp:
        await erp.put(PATH, {"name": "Bea"}, if_match='"1"')
    await bench.send(2)
    await bench.start(subscription)
    await bench.finished(subscription, 2)
    assert '"2"' in bench.versions


async def test_a_record_that_we_made(bench: TwoWays) -> None:
    """The event of a record that a POST of ours has made is an echo."""

    async def work(_delivery: Delivery, _record: Record) -> None:
        pass

    subscription = bench.subscribe(work)
    async with erp_for(customer_event(company_id="1")) as erp:
        await erp.post("v1/customer", {"number": "2", "name": "Bea"})
    await bench.publish("n1@2")
    await bench.start(subscription)
    await bench.finished(subscription, 1)
    assert (bench.versions, bench.echoes()) == ([], 1)


async def test_what_no_version_tells(bench: TwoWays) -> None:
    """An event that says more than that the record changed is handled, whoever made its version."""

    async def work(delivery: Delivery, record: Record) -> None:
        if len(bench.versions) == 1:
            await write_back(delivery, record)
            await bench.send(action="action_triggered")

    subscription = bench.subscribe(work)
    await bench.send()
    await bench.start(subscription)
    await bench.finished(subscription, 2)
    assert bench.versions == ['"1"', '"2"']


async def test_without_versions_all_is_handled(bench: TwoWays, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the answer to a write has no ETag, its event is handled."""
    read = Record.__init__

    def without(self: Record, status: int, etag: str | None = None, *args: Any, **named: Any) -> None:
        read(self, status, etag if status == 200 else None, *args, **named)

    async def work(delivery: Delivery, record: Record) -> None:
        if len(bench.versions) == 1:
            with monkeypatch.context() as patch:
                patch.setattr(Record, "__init__", without)
                await write_back(delivery, record)
            await bench.send()

    subscription = bench.subscribe(work)
    await bench.send()
    await bench.start(subscription)
    await bench.finished(subscription, 2)
    assert bench.versions == ['"1"', '"2"']


async def test_a_lost_write(bench: TwoWays) -> None:
    """A write that was done and whose answer was lost is nobody's: its event is handled."""
    lost: list[bool] = []

    async def work(delivery: Delivery, record: Record) -> None:
        if not lost:
            lost.append(True)
            with pytest.MonkeyPatch.context() as patch:
                transport = bench_transport(delivery)
                send = transport.send

                async def losing(method: str, *args: Any, **named: Any) -> Any:
                    answer = await send(method, *args, **named)
                    if method == "PUT":
                        raise ErpUnavailable("the answer was lost")
                    return answer

                patch.setattr(transport, "send", losing)
                with pytest.raises(ErpUnavailable):
                    await write_back(delivery, record)
            await bench.send()

    subscription = bench.subscribe(work)
    await bench.send()
    await bench.start(subscription)
    await bench.finished(subscription, 2)
    assert bench.versions == ['"1"', '"2"']


def bench_transport(delivery: Delivery) -> Any:
    """Return what sends the requests for an event."""
    from workers.erp.clients import current_erp  # noqa: PLC0415 - of the handler's context

    return current_erp(delivery.event)._connection.transport


@KEYS
async def test_a_replay_is_handled(bench: TwoWays, key: Any) -> None:
    """What an operator replays is handled, also where it was an echo and still is one."""

    async def work(delivery: Delivery, record: Record) -> None:
        if len(bench.versions) == 1:
            await write_back(delivery, record)
            await bench.send()

    subscription = bench.subscribe(work, key=key)
    await bench.send()
    await bench.start(subscription)
    await bench.finished(subscription, 2)
    assert bench.versions == ['"1"']
    replay = Handover(bench.store, bench.catalogue, "sub", EventFilter(since=NOW - timedelta(days=365)))
    assert (await replay.run()).changed == 2
    await bench.finished(subscription, 4)
    assert bench.versions == ['"1"', '"2"', '"2"']


async def test_no_body_reaches_the_store(bench: TwoWays) -> None:
    """Of writes versions are kept, for a day, and nothing of what was written."""

    async def work(delivery: Delivery, _record: Record) -> None:
        async with erp_for(delivery.event) as erp:
            await erp.put(PATH, {"text": "nobody's business"})

    subscription = bench.subscribe(work)
    await bench.send()
    await bench.start(subscription)
    await bench.finished(subscription, 1)
    (key,) = [key async for key in bench.client.scan_iter(match=f"{bench.keys.prefix}:{{echo:*")]
    assert 0 < await bench.client.pttl(key) <= 86_400_000
    assert b"business" not in repr(await bench.client.hgetall(key)).encode()


@pytest.mark.parametrize(
    ("is_one", "about", "delivery"),
    [
        (True, {}, {}),
        (True, {"action": "created"}, {}),
        (True, {}, {"deferred": 3}),
        (True, {}, {"merged": (OTHER,)}),
        (False, {"action": "deleted"}, {}),
        (False, {"action": "status_changed"}, {}),
        (False, {"action": "action_triggered"}, {}),
        (False, {"action": None}, {}),
        (True, {}, {"generation": uuid4().hex}),
        (False, {}, {"generation": "1760000000000-0"}),
        (False, {}, {"generation": "1760000000.000001/1760000000000-0"}),
        (False, {}, {"attempt": 2}),
        (False, {}, {"errors": (AttemptError(NOW, 1, "Replayed", ""),)}),
        (False, {}, {"merged": (OTHER, OTHER._replace(type="customer_deleted"))}),
        (False, {}, {"merged": (OTHER._replace(type="salesorder_status_changed"),)}),
        (False, {}, {"merged": (OTHER._replace(generation="1-0"),)}),
    ],
)
def test_what_may_be_an_echo(is_one: bool, about: dict[str, Any], delivery: dict[str, Any]) -> None:  # noqa: FBT001 - a parameter
    """Only a first attempt of a change may be one, with all that it stands for."""
    assert may_be_echo(Delivery(customer_event(**{"action": "updated", **about}), "sub", **delivery)) is is_one


def test_an_echo_needs_a_record() -> None:
    """`echo` is refused without `hydrate`, and so is another word."""
    with pytest.raises(ConfigError, match="echo='drop' needs hydrate=True"):
        Subscription("sub", events=["*"], echo="drop")
    with pytest.raises(ConfigError, match="echo is 'drop' or None"):
        Subscription("sub", events=["*"], hydrate=True, echo="keep")  # type: ignore[arg-type]
