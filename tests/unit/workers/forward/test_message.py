"""What is posted for a delivery: the body of each format, and the headers."""

import json
from datetime import UTC, datetime

import hypothesis.strategies as st
import pytest
from hypothesis import given

from router.cloudevents import InvalidCloudEvent, from_cloudevent
from workers.delivery import Delivery, Merged
from workers.forward.message import message, webhook_id
from workers.testing import sample_event

EVENT = sample_event("visma-net-financial/customer_changed")
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_a_cloudevent() -> None:
    """The body is the CloudEvents event, of which the very same event can be made, in the structured mode."""
    sent = message(Delivery(EVENT, "crm", attempt=2), "cloudevents")
    assert from_cloudevent(sent.body) == EVENT
    assert sent.id == EVENT.id == json.loads(sent.body)["id"]
    assert sent.headers == {
        "content-type": "application/cloudevents+json; charset=utf-8",
        "event-router-subscription": "crm",
        "event-router-stream": EVENT.stream,
        "event-router-attempt": "2",
    }


def test_the_item_as_it_came() -> None:
    """`raw` posts the publisher's own bytes."""
    sent = message(Delivery(EVENT, "crm"), "raw")
    assert sent.body == EVENT.raw
    assert sent.headers["content-type"] == "application/json"


@pytest.mark.parametrize("form", ["cloudevents", "raw"])
def test_what_a_merged_delivery_stands_for(form: str) -> None:
    """A header says of how many events; a CloudEvents event names each in an extension, as a text."""
    merged = (Merged("e1", "customer_changed", AT, "visma-net-financial"), Merged("e2", "customer_changed", AT))
    sent = message(Delivery(EVENT, "crm", merged=merged), form)  # type: ignore[arg-type]
    assert sent.headers["event-router-merged"] == "2"
    assert sent.id == EVENT.id
    if form == "cloudevents":
        found = json.loads(sent.body)
        assert found["mergedcount"] == 2
        assert found["firstat"] == "2026-03-01T12:00:00Z"
        assert [each["id"] for each in json.loads(found["merged"])] == ["e1", "e2"]
        assert json.loads(found["merged"])[0]["publisher"] == "visma-net-financial"
        assert from_cloudevent(sent.body) == EVENT


def test_a_trace_and_a_replay() -> None:
    """A trace goes on in the header and the extension of that name; a replay is told from the first delivery."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    sent = message(Delivery(EVENT, "crm", generation="r1"), "cloudevents", trace)
    assert sent.headers["traceparent"] == json.loads(sent.body)["traceparent"] == trace
    assert sent.headers["event-router-replay"] == "r1"


def test_bytes_that_are_no_json() -> None:
    """What cannot be a CloudEvents event is refused; as it came it can be sent."""
    broken = EVENT.model_copy(update={"raw": b"{"})
    with pytest.raises(InvalidCloudEvent):
        message(Delivery(broken, "crm"), "cloudevents")
    assert message(Delivery(broken, "crm"), "raw").body == b"{"


SUPPLIER = "visma-net-financial/supplier_changed"


@pytest.mark.parametrize("event_id", ["1", "e1", "reconcile-0af7651916cd43dd8448eb211c80319c"])
def test_one_id_in_two_streams(event_id: str) -> None:
    """A sender may count each of its event types: a receiver that does each id once loses none of these events."""
    customer = EVENT.model_copy(update={"id": event_id})
    supplier = customer.model_copy(update={"type": "supplier_changed"})
    other = customer.model_copy(update={"publisher": "business-nxt"})
    found = [message(Delivery(event, "crm"), "raw").id for event in (customer, supplier, other)]
    assert len(set(found)) == 3
    assert found[1] == f"{SUPPLIER}/{event_id}"


@pytest.mark.parametrize("event_id", ["0af76519-16cd-43dd-8448-eb211c80319c", "0AF7651916CD43DD8448EB211C80319C"])
def test_an_id_that_is_random(event_id: str) -> None:
    """An id that no other event has, as senders that make a UUID promise, is sent as it is."""
    assert message(Delivery(EVENT.model_copy(update={"id": event_id}), "crm"), "cloudevents").id == event_id


@pytest.mark.parametrize(
    ("event_id", "sent"),
    [("0A-b.c", "0A-b.c"), ("a b\r\nx: y", "a%20b%0D%0Ax%3A%20y"), ("æ", "%C3%A6"), ("a%20b", "a%2520b")],
)
def test_an_id_is_one_header(event_id: str, sent: str) -> None:
    """An id is sent as it is where a header can carry it, else so that nothing of it can begin another header."""
    assert webhook_id(SUPPLIER, event_id) == f"{SUPPLIER}/{sent}"


def test_a_long_id_is_a_digest() -> None:
    """An id too long for a header is sent as its digest, which is the same each time."""
    assert webhook_id(SUPPLIER, "x" * 5000) == webhook_id(SUPPLIER, "x" * 5000) != webhook_id(SUPPLIER, "x" * 5001)
    assert len(webhook_id(SUPPLIER, "x" * 5000)) == 72


IDS = st.one_of(st.text(), st.text("a %2052x/", max_size=6), st.sampled_from(["b/1", "c/b/1", "%sha256:00"]))


@given(st.lists(st.tuples(st.sampled_from(["a/b", "a/c", "b/c"]), IDS), unique=True, min_size=2, max_size=8))
def test_no_two_events_have_one_id(events: list[tuple[str, str]]) -> None:
    """A receiver that drops what it has seen drops nothing else: also where an id looks like another one quoted."""
    found = [webhook_id(stream, id_) for stream, id_ in events]
    assert len(set(found)) == len(events)
    assert all(id_.isascii() and id_.isprintable() and " " not in id_ for id_ in found)
