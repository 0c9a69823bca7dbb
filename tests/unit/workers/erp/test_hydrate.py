"""A running consumer fetches the record of each delivery; on the fake store and on a real server."""

import json
import threading
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs
from support.erp import SLUG, TENANT, Clock, customer_event, erp_settings
from support.keyed_bench import STREAM, Bench
from support.waiting import eventually
from yarl import URL

from config.errors import ConfigError
from config.settings import Settings
from router.events.catalogue import Catalogue
from router.events.normalise import normalise
from router.store import scripts
from router.store.client import Store
from workers import Coalesce, Delivery, Event, Record, Retry, Subscription
from workers.erp import erp_for, open_clients
from workers.erp.fake import FakeErp
from workers.service import check_records
from workers.testing import Dead, Done, RetryIn, deliver, run, sample_record

PATH = "v1/customer/1"
SECRET = "a body that is nobody's business"


@pytest.fixture
async def bench(store: Store, catalogue: Catalogue, erp: FakeErp) -> AsyncIterator[Bench]:
    """Yield a bench whose consumers fetch from the fake ERP; what a test leaves running is stopped."""
    bench = Bench(store, catalogue)
    async with open_clients(erp_settings(erp, tenant_id=TENANT)):
        yield bench
        for consumer in list(bench.alive):
            await bench.stop(consumer)


class Mirror:
    """What handlers were given, by the number of the customer."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.deliveries: list[Delivery] = []

    async def handle(self, delivery: Delivery, record: Record) -> None:
        """Keep it."""
        self.deliveries.append(delivery)
        self.records.append(record)


def subscribe(handler: Any, **options: Any) -> Subscription:
    """Return a subscription with this handler that wants records."""
    retry = Retry(max_attempts=5, first_delay=0.05, max_delay=0.05)
    subscription = Subscription("sub", events=[STREAM], hydrate=True, **({"retry": retry} | options))
    subscription.handler(handler)
    return subscription


async def test_each_event_comes_with_its_record(bench: Bench, erp: FakeErp) -> None:
    """The handler gets the record of its event; where there is none, one that says that it is gone."""
    erp.books(TENANT).put(PATH, {"name": "Ada"})
    mirror = Mirror()
    subscription = subscribe(mirror.handle)
    await bench.publish("a@1", "b@2")
    await bench.start(subscription)
    await eventually(lambda: len(mirror.records) == 2)
    found = {delivery.event.id: record for delivery, record in zip(mirror.deliveries, mirror.records, strict=True)}
    assert (found["a"].body, found["a"].gone) == ({"name": "Ada"}, False)
    assert (found["b"].body, found["b"].gone) == (None, True)
    assert len(erp.token_requests) == 1


async def test_a_plain_handler_gets_it_in_its_thread(bench: Bench, erp: FakeErp) -> None:
    """A plain function gets event and record, too, and runs in a thread as ever."""
    seen: list[tuple[str, Any, bool]] = []

    def handle(event: Event, record: Record) -> None:
        seen.append((event.id, record.body, threading.current_thread() is threading.main_thread()))

    erp.books(TENANT).put(PATH, {"name": "Ada"})
    await bench.publish("a@1")
    await bench.start(subscribe(handle))
    await eventually(lambda: seen)
    assert seen == [("a", {"name": "Ada"}, False)]


async def test_a_burst_is_fetched_once_after_its_newest_event(bench: Bench, erp: FakeErp) -> None:
    """Events that are merged into one delivery are one fetch, made after the newest of them came."""
    mirror = Mirror()
    subscription = subscribe(mirror.handle, key="resource", coalesce=Coalesce(quiet=0.2, within=5))
    await bench.publish(*(f"e{number}@1" for number in range(5)))
    erp.books(TENANT).put(PATH, {"version": "newest"})
    await bench.start(subscription)
    await eventually(lambda: mirror.records)
    await bench.emptied(subscription)
    (record,), (delivery,) = mirror.records, mirror.deliveries
    assert record.body == {"version": "newest"}
    assert len(delivery.merged) == 4
    assert record.fetched_at >= delivery.event.received_at
    assert len(erp.seen) == 1


async def test_an_outage_is_retried(bench: Bench, erp: FakeErp) -> None:
    """While the ERP fails, the event is tried again as its policy says, each time with a new fetch; then it is done."""
    erp.books(TENANT).put(PATH, {"name": "Ada"})
    mirror = Mirror()

    def mend(_method: str, _path: str) -> None:
        if erp.seen:
            erp.failing = None

    async with erp_for(customer_event()) as found:
        await found.get(PATH)  # so that there is a token
    erp.failing = 503
    erp.seen.clear()
    erp.on_request = mend
    await bench.publish("a@1")
    await bench.start(subscribe(mirror.handle))
    await eventually(lambda: mirror.records)
    assert [error.error for error in mirror.deliveries[0].errors] == ["ErpUnavailable"]
    assert mirror.deliveries[0].attempt == 2


async def test_a_used_up_quota_takes_no_attempt(bench: Bench, erp: FakeErp) -> None:
    """A 429 defers the delivery for as long as it says: no attempt is used, and no error kept."""
    erp.gate.quota = 0
    mirror = Mirror()
    subscription = subscribe(mirror.handle)
    await bench.publish("a@1")
    await bench.start(subscription)
    labels = {"subscription": "sub", "outcome": "deferred"}
    await eventually(lambda: bench.registry.get_sample_value("event_router_outcomes_total", labels) == 1)
    due = await bench.client.zrange(bench.keys.due(STREAM, "sub"), 0, -1, withscores=True)
    assert len(due) == 1
    assert erp.refused(TENANT) == 1
    assert mirror.records == []


async def test_a_slow_erp_costs_the_attempt_its_time(bench: Bench, erp: FakeErp) -> None:
    """The fetch is part of the attempt: one that takes longer than the time-out has failed, and holds up no other."""
    mirror = Mirror()
    erp.gate_open.clear()
    subscription = subscribe(mirror.handle, timeout=0.2)
    await bench.publish("a@1")
    await bench.start(subscription)
    await eventually(
        lambda: bench.registry.get_sample_value(
            "event_router_outcomes_total", {"subscription": "sub", "outcome": "retried"}
        )
    )
    erp.gate_open.set()
    await eventually(lambda: mirror.records)
    assert {error.error for error in mirror.deliveries[0].errors} == {"HandlerTimeout"}


async def test_the_time_of_the_erp_counts_in_a_worker(bench: Bench, erp: FakeErp) -> None:
    """A fetch that hangs ends after `timeout` of the ERP's settings, also where a handler may take for ever."""
    mirror = Mirror()
    async with open_clients(erp_settings(erp, tenant_id=TENANT, timeout=0.2)):
        async with erp_for(customer_event()) as found:
            await found.get(PATH)  # so that there is a token
        await bench.publish("a@1")
        erp.gate_open.clear()
        subscription = subscribe(mirror.handle, timeout=None)
        consumer = await bench.start(subscription)
        await eventually(lambda: bench.count(subscription, "retried"))
        erp.gate_open.set()
        await eventually(lambda: mirror.records)
        await bench.stop(consumer)
    assert {error.error for error in mirror.deliveries[0].errors} == {"ErpUnavailable"}


async def test_a_fetch_that_is_late_abandons_no_thread(bench: Bench, erp: FakeErp) -> None:
    """Where the time of a plain handler is over before its record has come, no thread is said to be left behind."""
    seen: list[str] = []

    def handle(event: Event, record: Record) -> None:
        seen.append(event.id)

    with capture_logs() as logged:
        await bench.start(subscribe(handle, timeout=0.3, concurrency=1))
        await bench.publish("first@1")
        await eventually(lambda: seen)
        erp.gate_open.clear()
        await bench.publish("second@1")
        labels = {"subscription": "sub", "outcome": "retried"}
        await eventually(lambda: bench.registry.get_sample_value("event_router_outcomes_total", labels))
        erp.gate_open.set()
        await eventually(lambda: "second" in seen)
    said = [line["event"] for line in logged]
    assert "retry_scheduled" in said
    assert "thread_abandoned" not in said


async def test_no_body_reaches_the_store(bench: Bench, erp: FakeErp) -> None:
    """Neither a record nor what a refusal says is in the store afterwards, not even in a dead letter."""
    erp.books(TENANT).put(PATH, {"text": SECRET})
    mirror = Mirror()

    async def fail(event: Event, record: Record) -> None:
        mirror.records.append(record)
        async with erp_for(event) as found:
            await found.post("v1/customer", {"text": SECRET})

    subscription = subscribe(fail, retry=Retry(max_attempts=1))
    await bench.publish("a@1")
    await bench.start(subscription)
    dead = bench.keys.dead(STREAM, "sub")

    async def is_dead() -> bool:
        return bool(await bench.client.xlen(dead))

    await eventually(is_dead)
    assert mirror.records[0].body == {"text": SECRET}
    ((_, letter),) = await bench.client.xrange(dead)
    assert b"ErpRefused" in letter[b"history"]
    assert SECRET.encode() not in b"".join(letter.values())


async def publish_answer(bench: Bench, id_: str, age: float) -> None:
    """Append the event of a background answer that came `age` seconds ago."""
    stream = f"{SLUG}/background_api_operation_response_ready"
    link = f"https://elsewhere.example/v1/background/{id_}"
    raw = {"event": "BACKGROUND_API_RESPONSE", "notificationId": id_, "stateLocation": link, "statusCode": 200}
    fields: list[scripts.Field] = ["id", id_, "at", int((time.time() - age) * 1000), "raw", json.dumps(raw)]
    await bench.store.call(scripts.append(bench.keys.events(stream), [bench.keys.seen(stream, id_)], fields, 60_000))


async def test_no_retry_waits_past_the_end_of_an_answer(bench: Bench, erp: FakeErp) -> None:
    """A failed attempt for a background answer comes again before its 24 hours end; after them it is dead."""
    stream = f"{SLUG}/background_api_operation_response_ready"
    erp.failing = 503
    retry = Retry(max_attempts=9, first_delay=9e5, max_delay=9e5)
    subscription = Subscription("answers", events=[stream], hydrate=True, retry=retry)
    subscription.handler(Mirror().handle)
    await publish_answer(bench, "soon", 23 * 3600 + 50 * 60 - 500)
    await publish_answer(bench, "over", 24 * 3600)
    await bench.start(subscription)
    dead, due = bench.keys.dead(stream, "answers"), bench.keys.due(stream, "answers")

    async def settled() -> bool:
        return bool(await bench.client.xlen(dead)) and bool(await bench.client.zcard(due))

    await eventually(settled)
    ((_, letter),) = await bench.client.xrange(dead)
    assert letter[b"id"] == b"over"
    assert b"ErpUnavailable" in letter[b"history"]
    ((_, at),) = await bench.client.zrange(due, 0, -1, withscores=True)
    assert at / 1000 <= time.time() + 500


@pytest.mark.parametrize(
    "link",
    [
        "//evil.example/v1/customer/1",
        "https://user@evil.example/v1/customer/1",
        "https://evil.example\\@127.0.0.1/v1/customer/1",
        "v1/customer/..%2f..%2fevil",
        "\\\\evil.example\\v1",
        "http://[::1]/v1/customer/1",
        "https://evil.example/v1/customer/1#@127.0.0.1",
        "v1/customer/1?x=@evil.example",
        "v1/customer/\u0000",
    ],
)
async def test_a_hostile_notification_asks_nobody_else(
    catalogue: Catalogue, erp: FakeErp, monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    """Whatever link a notification has, what is asked is below the configured base, or nothing is."""
    hosts: set[Any] = set()
    original = aiohttp.TCPConnector.connect

    async def connect(self: Any, request: Any, *given: Any, **named: Any) -> Any:
        hosts.add((request.url.host, request.url.port))
        return await original(self, request, *given, **named)

    monkeypatch.setattr(aiohttp.TCPConnector, "connect", connect)
    raw = json.dumps({"event": "customer_changed", "notificationId": "n", "resourceUri": link, "TenantId": "t1"})
    event = normalise(catalogue, STREAM, "n", raw.encode(), datetime.now(UTC))
    subscription = Subscription("s", events=["*"], hydrate=True)
    subscription.handler(Mirror().handle)
    async with open_clients(erp_settings(erp)):
        await deliver(subscription, event)
    base = URL(erp.base_url)
    assert hosts <= {(base.host, base.port)}
    assert all(seen.path.startswith("v1/customer/") for seen in erp.seen)


# Without a store


def test_a_record_is_handed_in() -> None:
    """A test hands in the record that the handler is to get; nothing is fetched."""
    seen: list[Record] = []

    async def handle(event: Event, record: Record) -> None:
        seen.append(record)

    subscription = Subscription("s", events=["*"], hydrate=True)
    subscription.handler(handle)
    record = sample_record({"name": "Ada"}, etag='"7"')
    assert run(subscription, customer_event(), record=record) == [Done()]
    assert run(subscription, customer_event(), record=sample_record(status=404)) == [Done()]
    assert seen[0] is record
    assert seen[1].gone


async def test_without_a_record_it_is_fetched_or_refused(erp: FakeErp, clock: Clock) -> None:
    """Without one it is fetched from the ERP that is opened, or the attempt ends in what is missing."""
    subscription = Subscription("s", events=["*"], hydrate=True)
    seen: list[Record] = []

    @subscription.handler
    async def handle(delivery: Delivery, record: Record) -> None:
        seen.append(record)

    (outcome,) = await deliver(subscription, customer_event())
    assert isinstance(outcome, RetryIn)
    async with open_clients(erp_settings(erp), monotonic=clock):
        assert await deliver(subscription, customer_event()) == [Done()]
        for path in (None, "customer/1", "v1/customer"):
            (outcome,) = await deliver(subscription, customer_event(resource_path=path))
            assert isinstance(outcome, Dead)
            assert "names no record to fetch" in outcome.reason
    assert len(seen) == 1


def test_a_worker_without_the_erp_does_not_start(catalogue: Catalogue, erp: FakeErp) -> None:
    """A subscription that wants records of a publisher whose ERP is not set is refused at start, with what to set."""
    subscription = subscribe(Mirror().handle)
    with pytest.raises(ConfigError, match="set ROUTER_ERP__VISMA_NET_FINANCIAL__BASE_URL"):
        check_records(Settings(), [subscription], catalogue)
    check_records(erp_settings(erp), [subscription], catalogue)
