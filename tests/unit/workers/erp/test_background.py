"""Background answers: fetched by their id on our base, within their 24 hours."""

from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from support.erp import SLUG, TENANT, Clock, Steps, answering, customer_event, erp_settings

from workers import Event, Subscription
from workers.erp import BackgroundExpired, BackgroundPending, ErpRefused, UnsafePath, erp_for, open_clients
from workers.erp.background import id_of, in_time, last_chance, path_of
from workers.erp.fake import FakeErp
from workers.outcomes import Dead, DeferFor, Done, Outcome, RetryIn
from workers.record import Record
from workers.testing import deliver, sample_event

PATH = "v1/customer/1"
STREAM = f"{SLUG}/background_api_operation_response_ready"


async def fetch(erp: FakeErp, id_: str, steps: Steps | None = None) -> Record:
    """Fetch a background answer."""
    async with open_clients(erp_settings(erp), sleep=steps or Steps()), erp_for(customer_event()) as found:
        return await found.background(id_)


async def test_an_answer_that_is_ready(erp: FakeErp) -> None:
    """The content comes as the record's body, with the status and the reference of the request that it answers."""
    operation = erp.background.start(TENANT, "order 7")
    erp.background.finish(operation.id, 201, {"name": "Ada"})
    record = await fetch(erp, operation.id)
    assert (record.status, record.body) == (201, {"name": "Ada"})
    assert record.background is not None
    assert (record.background.id, record.background.reference) == (operation.id, "order 7")
    assert not record.background.failed


async def test_an_answer_that_failed(erp: FakeErp) -> None:
    """What the ERP could not do is a record that says so; why is not shown where it is logged."""
    operation = erp.background.start(TENANT)
    erp.background.finish(operation.id, 400, error="Ada owes 5")
    record = await fetch(erp, operation.id)
    assert (record.status, record.body) == (400, None)
    assert record.background is not None
    assert record.background.failed
    assert record.background.error_message == "Ada owes 5"
    assert "Ada" not in repr(record)


async def test_an_answer_that_is_waited_for(erp: FakeErp) -> None:
    """A get that is answered in the background is waited for, and comes as if it had been answered at once."""
    erp.in_background = True

    def finish(_method: str, path: str) -> None:
        if path.startswith("v1/background") and (waiting := erp.background.operations) and len(steps.slept) == 3:
            erp.background.finish(*waiting, 200, {"name": "Ada"})

    steps = Steps()
    erp.on_request = finish
    async with open_clients(erp_settings(erp), sleep=steps), erp_for(customer_event()) as found:
        record = await found.get(PATH)
    assert record.body == {"name": "Ada"}
    assert steps.slept == [0.25, 0.5, 1.0]


async def test_an_answer_that_is_not_ready_in_time(erp: FakeErp) -> None:
    """An attempt waits no longer than background_wait, and asks to be made again later."""
    operation, steps = erp.background.start(TENANT), Steps()
    with pytest.raises(BackgroundPending) as raised:
        await fetch(erp, operation.id, steps)
    assert sum(steps.slept) <= 15
    assert raised.value.delay == 30


async def test_a_write_in_the_background_is_not_waited_for(erp: FakeErp) -> None:
    """A write that the ERP does in the background is not sent again: the record says under which id it is."""
    erp.in_background = True
    async with open_clients(erp_settings(erp)), erp_for(customer_event()) as found:
        record = await found.put(PATH, {})
    assert record.status == 202
    assert record.background is not None
    assert record.background.id in erp.background.operations


async def test_a_write_whose_background_id_is_lost(erp: FakeErp) -> None:
    """A write that the ERP took on without an id is no error: it must not be sent again."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=202)

    async with (
        answering(answer) as base,
        open_clients(erp_settings(erp, base_url=base)),
        erp_for(customer_event()) as found,
    ):
        record = await found.post("v1/customer", {})
        assert (record.status, record.background) == (202, None)
        with pytest.raises(ErpRefused, match="202 without the id"):
            await found.get(PATH)


async def test_after_24_hours(erp: FakeErp, clock: Clock) -> None:
    """An answer that is no longer kept ends its event dead, and is no record that is gone."""
    operation = erp.background.start(TENANT)
    erp.background.finish(operation.id, 200, {})
    clock.now += 24 * 3600 - 1
    assert (await fetch(erp, operation.id)).body == {}
    clock.now += 1
    with pytest.raises(BackgroundExpired, match="24 hours"):
        await fetch(erp, operation.id)


async def test_the_event_of_an_answer(erp: FakeErp) -> None:
    """The event that says that an answer is ready is hydrated with it, whatever host its links name."""
    operation = erp.background.start(TENANT)
    erp.background.finish(operation.id, 200, {"name": "Ada"})
    seen: list[Record] = []
    subscription = Subscription("answers", events=["*"], hydrate=True)

    @subscription.handler
    async def answer(event: Event, record: Record) -> None:
        seen.append(record)

    for end in ("", "/content"):
        event = sample_event(STREAM, resource_path=f"v1/background/{operation.id}{end}", tenant_id=TENANT)
        async with open_clients(erp_settings(erp)):
            assert await deliver(subscription, event) == [Done()]
    assert [record.body for record in seen] == [{"name": "Ada"}] * 2


@pytest.mark.parametrize(
    ("body", "id_"),
    [
        ({"id": "a-1", "stateLocation": "https://evil/v1/background/b"}, "a-1"),
        ({"stateLocation": "https://evil.example/v1/background/b-2"}, "b-2"),
        ({"contentLocation": "//evil/v1/background/b-3/content"}, "b-3"),
        ({"id": "../x", "stateLocation": "https://h/v1/background/../../x"}, None),
        ({"id": 7}, None),
        ([], None),
        (None, None),
    ],
)
def test_of_a_link_only_the_id_is_taken(body: object, id_: str | None) -> None:
    """Where an answer is said to be elsewhere, only its id counts; a host is never asked."""
    assert id_of(body) == id_
    if id_ is not None:
        assert path_of(id_, "v1") == f"v1/background/{id_}"


@pytest.mark.parametrize("id_", ["", "..", "a/b", "a%2fb", "x" * 101, "a b", "a\n"])
def test_what_is_no_id_is_refused(id_: str) -> None:
    """An id from outside cannot lead to another path."""
    with pytest.raises(UnsafePath):
        path_of(id_, "v1")


@pytest.mark.parametrize(
    ("outcome", "left", "expected"),
    [
        (RetryIn(60), 120.0, RetryIn(60)),
        (RetryIn(600), 120.0, RetryIn(120.0)),
        (DeferFor(600, "x"), 120.0, DeferFor(120.0, "x")),
        (DeferFor(60, "x"), 0.0, Dead("the ERP keeps a background answer for 24 hours, and they are over")),
        (RetryIn(0), 0.0, RetryIn(0)),
        (RetryIn(60), 0.0, Dead("the ERP keeps a background answer for 24 hours, and they are over")),
        (RetryIn(60), -5.0, Dead("the ERP keeps a background answer for 24 hours, and they are over")),
        (Done(), -5.0, Done()),
        (Dead("x"), 5.0, Dead("x")),
    ],
)
def test_no_retry_goes_past_the_24_hours(outcome: Outcome, left: float, expected: Outcome) -> None:
    """A retry is brought forward to before the end, and where that has passed, the event is dead."""
    assert in_time(outcome, left) == expected


def test_until_when_an_answer_is_there() -> None:
    """The 24 hours begin when the answer was made, or at the latest when its event came, and end with a margin."""
    now = datetime(2026, 1, 2, tzinfo=UTC)
    path = {"resource_path": "v1/background/a", "received_at": now}
    made = sample_event(STREAM, **path, occurred_at=now - timedelta(hours=1))
    ahead = sample_event(STREAM, **path, occurred_at=now + timedelta(hours=1))
    assert last_chance(made) == (now + timedelta(hours=22, minutes=50)).timestamp()
    assert last_chance(ahead) == (now + timedelta(hours=23, minutes=50)).timestamp()
    assert last_chance(customer_event()) is None
