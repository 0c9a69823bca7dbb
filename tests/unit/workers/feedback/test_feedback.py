"""Running subscriptions tell the ERP what became of each notification; on each kind of store, keyed and unkeyed."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from support.erp import TENANT, erp_settings
from support.keyed_bench import STREAM, Bench
from support.waiting import eventually

from config.errors import ConfigError
from config.settings import Settings
from router.events.catalogue import Catalogue
from router.store import scripts
from router.store.client import Store
from workers import Coalesce, DeadLetter, Defer, Delivery, Event, Merged, Retry, RetryLater, Subscription, WorkerLost
from workers.consuming.consumer import Consumer
from workers.delivery import Held, error_line
from workers.erp import open_clients
from workers.erp.fake import FakeErp
from workers.erp.quota import Unlimited
from workers.feedback import Feedback, FeedbackMetrics, Poster
from workers.feedback.note import Note
from workers.service import check_records

QUICK = Retry(max_attempts=3, first_delay=0.01, max_delay=0.01)


class Office(Bench):
    """A bench whose consumers give feedback to the fake ERP."""

    poster: Poster

    async def open(self, subscription: Subscription, name: str = "c1", **options: Any) -> Consumer:
        """Start a consumer that gives feedback."""
        feedback = Feedback(subscription.name, self.catalogue, self.poster.put, self.poster.monotonic)
        return await self.start(subscription, name, feedback=feedback, **options)


@pytest.fixture
async def office(store: Store, catalogue: Catalogue, erp: FakeErp) -> AsyncIterator[Office]:
    """Yield the bench; what a test leaves running is stopped."""
    office = Office(store, catalogue)
    async with open_clients(erp_settings(erp, tenant_id=TENANT)) as clients:
        office.poster = Poster(clients, Unlimited(), FeedbackMetrics(CollectorRegistry()))
        yield office
        for consumer in list(office.alive):
            await office.stop(consumer)
        await office.poster.stop(0)


def told(erp: FakeErp) -> dict[str, tuple[bool, str]]:
    """Return what was said of each notification; none was spoken of twice."""
    bodies = [body for _, body in erp.feedback]
    assert len({body["notificationId"] for body in bodies}) == len(bodies)
    assert {body["source"] for body in bodies} <= {"sub"}
    return {body["notificationId"]: (body["isSuccess"], body["description"]) for body in bodies}


async def do(delivery: Delivery) -> None:
    """Do what the event's id says."""
    verb = delivery.event.id.partition("-")[0]
    if verb == "dead":
        raise DeadLetter("no such customer\nSECRET")
    if verb == "fails":
        raise ValueError("token=hush-hush\nSECRET")
    if verb == "later" and delivery.attempt < 3:
        raise RetryLater(0.01)
    if verb == "wait" and not delivery.deferred:
        raise Defer(0.1)


@pytest.mark.parametrize("key", [None, "resource"])
async def test_what_became_of_each(office: Office, erp: FakeErp, key: Any) -> None:
    """Done and dead are said once, of each notification, with the reason; retries and deferrals are not spoken of."""
    subscription = Subscription("sub", events=[STREAM], key=key, retry=QUICK, feedback=True)
    subscription.handler(do)
    await office.publish("done-1", "dead-1", "fails-1", "later-1", "wait-1")
    await office.open(subscription)
    await eventually(lambda: len(erp.feedback) == 5)
    assert told(erp) == {
        "done-1": (True, "done"),
        "later-1": (True, "done"),
        "wait-1": (True, "done"),
        "dead-1": (False, "no such customer"),
        "fails-1": (False, "failed 3 of 3 attempts: ValueError: token=…"),
    }


async def test_each_that_a_delivery_stands_for(office: Office, erp: FakeErp) -> None:
    """Where events were merged, each of their notifications is spoken of, and which later one it was done with."""
    merging = Coalesce(quiet=0.2, within=5)
    subscription = Subscription("sub", events=[STREAM], key="resource", coalesce=merging, feedback=True)
    subscription.handler(do)
    await office.publish("a@1", "b@1", "c@1")
    await office.open(subscription)
    await eventually(lambda: len(erp.feedback) == 3)
    assert told(erp) == {
        "a": (True, "done (with the later c)"),
        "b": (True, "done (with the later c)"),
        "c": (True, "done"),
    }


async def test_an_event_without_notification(office: Office, erp: FakeErp) -> None:
    """Of what has no notification id the ERP would know nothing: it is not spoken of."""
    subscription = Subscription("sub", events=[STREAM], feedback=True)
    subscription.handler(office.handle)
    raw = json.dumps({"event": "customer_changed", "resourceUri": "v1/customer/1", "companyId": "1"})
    id_ = f"sha256:{'0' * 64}"
    fields: list[scripts.Field] = ["id", id_, "at", 1, "raw", raw]
    marker = office.keys.seen(STREAM, id_)
    await office.store.call(scripts.append(office.keys.events(STREAM), [marker], fields, 60_000))
    await office.publish("n1")
    await office.open(subscription)
    await office.all_handled(2)
    await eventually(lambda: len(erp.feedback) == 1)
    assert told(erp) == {"n1": (True, "done")}


async def test_an_entry_that_is_no_event(office: Office, erp: FakeErp) -> None:
    """What cannot be read ends dead, has nobody to tell, and disturbs nothing."""
    subscription = Subscription("sub", events=[STREAM], feedback=True)
    subscription.handler(office.handle)
    await office.client.xadd(office.keys.events(STREAM), {"what": "ever"})
    await office.publish("n1")
    await office.open(subscription)
    await eventually(lambda: len(erp.feedback) == 1)
    await eventually(lambda: office.count(subscription, "dead") == 1)


@pytest.mark.parametrize("key", [None, "resource"])
@pytest.mark.parametrize("trouble", ["away", "refusing", "slow"])
async def test_no_event_waits_for_the_erp(office: Office, erp: FakeErp, key: Any, trouble: str) -> None:
    """An ERP that is away, refuses or does not answer keeps no event from being handled, no consumer from its stop."""
    erp.failing = {"away": 503, "refusing": 403, "slow": None}[trouble]
    if trouble == "slow":
        erp.gate_open.clear()
    subscription = Subscription("sub", events=[STREAM], key=key, feedback=True)
    subscription.handler(office.handle)
    await office.publish(*(f"n{number}" for number in range(50)))
    consumer = await office.open(subscription)
    await office.all_handled(50)
    await eventually(lambda: office.count(subscription, "done") == 50)
    await asyncio.wait_for(office.stop(consumer), 10)
    await asyncio.wait_for(office.poster.stop(0.05), 10)
    assert not erp.feedback
    assert sorted(office.handled) == sorted(f"n{number}" for number in range(50))


@pytest.mark.parametrize("key", [None, "resource"])
async def test_only_who_settles_speaks(office: Office, erp: FakeErp, key: Any) -> None:
    """A consumer that is killed with an event in hand says nothing of it; who takes it over does, once."""
    subscription = Subscription("sub", events=[STREAM], key=key, feedback=True)
    running = asyncio.Event()

    @subscription.handler
    async def handle(_event: Event) -> None:
        if not running.is_set():
            running.set()
            await asyncio.Event().wait()

    await office.publish("n1")
    first = await office.open(subscription, "c1")
    await running.wait()
    await office.kill(first)
    assert not erp.feedback
    await office.open(subscription, "c1", returning=True)
    await eventually(lambda: len(erp.feedback) == 1)
    assert told(erp) == {"n1": (True, "done")}


def test_a_worker_that_goes_on_for_another(catalogue: Catalogue) -> None:
    """Who ends what a killed worker had given up says with which error, as that would have: its history has it."""
    notes = list[Note]()
    lines = [error_line(error, 1, 1_760_000_000) for error in (ValueError("no room\nSECRET"), WorkerLost("died"))]
    raw = b'{"event": "customer_changed", "notificationId": "n1", "TenantId": "t1"}'
    history = "\n".join(lines).encode()
    fields = {b"id": b"n1", b"at": b"1", b"raw": raw, b"reason": b"failed 1 of 1 attempts", b"history": history}
    feedback = Feedback("sub", catalogue, notes.append, lambda: 0.0)
    feedback.settled([Held(STREAM, b"1-0", fields, inbox=False, touched=0.0)], success=False)
    assert [(note.id, note.description) for note in notes] == [("n1", "failed 1 of 1 attempts: ValueError: no room")]


class Burst(Held):
    """A delivery that stands for an earlier event, too."""

    @property
    def merged(self) -> tuple[Merged, ...]:
        """The earlier event."""
        return (Merged("n0", "customer_changed", datetime(2026, 1, 1, tzinfo=UTC)),)


def test_the_note_of_a_merged_event_is_bounded(catalogue: Catalogue) -> None:
    """With the later event that it was done with, too, a description has 250 characters at most, and names that one."""
    notes, later = list[Note](), "n" * 200
    raw = json.dumps({"event": "customer_changed", "notificationId": later, "TenantId": "t1"}).encode()
    fields = {b"id": later.encode(), b"at": b"1", b"raw": raw, b"reason": b"x" * 1000}
    feedback = Feedback("sub", catalogue, notes.append, lambda: 0.0)
    feedback.settled([Burst(STREAM, b"1-0", fields, inbox=False, touched=0.0)], success=False)
    assert [(note.id, len(note.description)) for note in notes] == [("n0", 250), (later, 250)]
    assert notes[0].description.endswith(f"… (with the later {later})")


def test_a_subscription_without_its_erp_does_not_start(catalogue: Catalogue, erp: FakeErp) -> None:
    """A worker says at start which ERP is not set that feedback is to be given to."""
    subscription = Subscription("sub", events=[STREAM], feedback=True)
    with pytest.raises(ConfigError, match=r"'sub' gives feedback to visma-net-financial: set ROUTER_ERP__VISMA_NET_"):
        check_records(Settings(), [subscription], catalogue)
    check_records(erp_settings(erp), [subscription], catalogue)
