"""Rules of CloudEvents: the attributes obey the specification, and an event comes back as it went."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import msgspec
import pytest

from router.cloudevents import InvalidCloudEvent, from_cloudevent, to_cloudevent, to_cloudevent_json
from router.events.catalogue import Catalogue
from router.events.event import Event
from router.events.identify import Identified, identify
from router.events.normalise import normalise
from router.events.samples import body, sample

NOW = datetime(2025, 11, 1, 12, tzinfo=UTC)
RAW = b'{ "event":"Customer_Updated" , "entityId" : "\\u00fc", "big":123456789012345678901234567890, "n":1.50 }'


def event(**changes: Any) -> Event:
    """Make an event by hand."""
    values = {
        "id": "n-1",
        "publisher": "visma-net-financial",
        "type": "customer_updated",
        "wire_event": "Customer_Updated",
        "resource": "customer/5",
        "occurred_at": datetime(2025, 10, 30, 15, 5, 57, 790001, tzinfo=UTC),
        "ticks": 638974335577900010,
        "received_at": NOW,
        "scheduled": False,
        "extra": {"entityId": "ü", "big": 123456789012345678901234567890},
        "raw": RAW,
    }
    return Event(**(values | changes))


def test_attributes() -> None:
    """Publisher, type, resource and time are where CloudEvents has them, the rest in extensions, and no nulls."""
    assert to_cloudevent(event()) == {
        "specversion": "1.0",
        "id": "n-1",
        "source": "urn:event-router:visma-net-financial",
        "type": "net.visma.visma-net-financial.customer_updated",
        "subject": "customer/5",
        "time": "2025-10-30T15:05:57.790001Z",
        "datacontenttype": "application/json",
        "receivedat": "2025-11-01T12:00:00Z",
        "ticks": "638974335577900010",
        "wireevent": "Customer_Updated",
        "scheduled": False,
        "extrafields": '["entityId","big"]',
        "data": json.loads(RAW),
    }


def test_raw_is_spliced() -> None:
    """The bytes that were signed are in the JSON as they came, and the rest is the same as of the parsed form."""
    encoded = to_cloudevent_json(event())
    assert RAW in encoded
    assert json.loads(encoded) == to_cloudevent(event())


@pytest.mark.parametrize("stream", Catalogue.load().streams())
def test_round_trip_of_every_event(catalogue: Catalogue, stream: str) -> None:
    """Every event of the catalogue comes back from its CloudEvents form exactly, with attributes as specified."""
    [found] = identify(catalogue, stream.partition("/")[0], body([sample(catalogue, stream, Random(1), NOW)]), None)
    assert isinstance(found, Identified)
    original = normalise(catalogue, stream, found.id, found.raw, NOW)
    assert from_cloudevent(to_cloudevent_json(original)) == original
    attributes = to_cloudevent(original)
    assert from_cloudevent(attributes) == original
    for name, value in attributes.items():
        assert re.fullmatch("[a-z0-9]{1,20}", name)
        assert name == "data" or isinstance(value, str | bool)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"occurred_at": None, "ticks": None, "resource": None, "scheduled": None, "extra": {}},
        {"ticks": -1, "occurred_at": None},
        {"hints": {"orderref": "17", "x-vwd-tenant-id": "å\n"}},
        {"ticks": 10**39},
        {"occurred_at": datetime(1, 1, 1, tzinfo=UTC)},
        {"extra": {"not": "in data", "deep": [{"a": None}]}},
        {"extra": {"entityId": "another"}},
        {"raw": b"[1, 2]"},
    ],
)
def test_round_trip(changes: dict[str, Any]) -> None:
    """Whatever an event holds, also one made by hand, comes back exactly."""
    original = event(**changes)
    assert from_cloudevent(to_cloudevent_json(original)) == original
    parsed = from_cloudevent(to_cloudevent(original))
    assert parsed.model_copy(update={"raw": original.raw}) == original
    assert json.loads(parsed.raw) == json.loads(original.raw)


def test_unknown_attributes_are_passed_over() -> None:
    """What others add on the way, tracing for one, does no harm."""
    assert from_cloudevent(to_cloudevent(event()) | {"traceparent": "00-1-2-01"}).id == "n-1"


@pytest.mark.parametrize(
    "changes",
    [
        {"specversion": "0.3"},
        {"type": "com.example.thing"},
        {"type": "thing"},
        {"source": "urn:event-router:another"},
        {"id": None},
        {"id": 5},
        {"wireevent": None},
        {"time": "yesterday"},
        {"time": "2025-10-30T15:05:57"},
        {"receivedat": None},
        {"ticks": "many"},
        {"ticks": 5},
        {"scheduled": "no"},
        {"extrafields": '["absent"]'},
        {"extrafields": "entityId"},
        {"extra": "[]"},
        {"data": float},
    ],
)
def test_foreign_events_are_refused(changes: dict[str, Any]) -> None:
    """What did not come from an event of this router is refused, not guessed at."""
    attributes = to_cloudevent(event()) | changes
    with pytest.raises(InvalidCloudEvent, match="not a CloudEvents event of this router"):
        from_cloudevent({name: value for name, value in attributes.items() if value is not None})


@pytest.mark.parametrize("source", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000])
def test_bytes_that_are_no_cloudevent(source: bytes) -> None:
    """Nothing but InvalidCloudEvent comes of reading bad bytes."""
    with pytest.raises(InvalidCloudEvent):
        from_cloudevent(source)


def test_event_without_data_is_refused() -> None:
    """Without data there is nothing that was signed."""
    attributes = to_cloudevent(event())
    del attributes["data"]
    with pytest.raises(InvalidCloudEvent):
        from_cloudevent(msgspec.json.encode(attributes))


@pytest.mark.parametrize("write", [to_cloudevent, to_cloudevent_json])
def test_raw_that_is_no_json(write: Callable[[Event], object]) -> None:
    """An event made by hand of bytes that are not JSON cannot become a CloudEvents JSON event."""
    with pytest.raises(InvalidCloudEvent, match="raw bytes of event n-1"):
        write(event(raw=b"hello", extra={}))
