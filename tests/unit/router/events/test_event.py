"""Rules of the event model: frozen, exact, and written as JSON without loss."""

import copy
import pickle
from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from router.events.event import Event

MOMENT = datetime(2025, 10, 30, 15, 5, 57, 790001, tzinfo=UTC)
VALUES = {
    "id": "n-1",
    "publisher": "visma-net-financial",
    "type": "customer_changed",
    "wire_event": "customer_changed",
    "entity": "customer",
    "action": "updated",
    "resource": "customer/5",
    "resource_path": "v1/customer/5",
    "resource_id": "5",
    "company_id": "1",
    "tenant_id": "t",
    "occurred_at": MOMENT,
    "ticks": 638974335577900010,
    "received_at": MOMENT,
    "document_status": None,
    "erp_event": None,
    "user_id": None,
    "api_client_id": None,
    "connect_id": None,
    "scheduled": False,
    "origin": "reconcile",
    "extra": {"entityId": "ü", "big": 10**30},
    "hints": {"orderref": "17"},
    "raw": '{"event":"customer_changed","x":"ü"}'.encode(),
}


def test_json_round_trip() -> None:
    """An event written as JSON and read again is the same event; raw is its text, the stream no field."""
    event = Event(**VALUES)
    assert Event.model_validate_json(event.model_dump_json()) == event
    dumped = event.model_dump(mode="json")
    assert dumped["raw"] == '{"event":"customer_changed","x":"ü"}'
    assert dumped["occurred_at"] == "2025-10-30T15:05:57.790001Z"
    assert list(dumped) == list(VALUES)
    assert event.stream == "visma-net-financial/customer_changed"


def test_trusted_equals_validated() -> None:
    """An event made without validation is in every way the one made with it."""
    event, trusted = Event(**VALUES), Event.trusted(dict(VALUES))
    assert trusted == event
    assert trusted.model_dump_json() == event.model_dump_json()
    assert trusted.model_fields_set == event.model_fields_set
    assert repr(trusted) == repr(event)
    assert copy.deepcopy(trusted) == pickle.loads(pickle.dumps(trusted)) == event
    assert trusted.model_copy(update={"id": "n-2"}).id == "n-2"


def test_frozen_and_closed() -> None:
    """An event cannot be changed and takes no unknown field."""
    event = Event.trusted(dict(VALUES))
    with pytest.raises(ValidationError):
        event.id = "x"
    with pytest.raises(ValidationError):
        Event(**VALUES, colour="red")


def test_times_are_aware_and_utc() -> None:
    """A time without a zone is refused, one of another zone becomes UTC."""
    with pytest.raises(ValidationError):
        Event(**(VALUES | {"received_at": MOMENT.replace(tzinfo=None)}))
    local = MOMENT.astimezone(timezone(timedelta(hours=2)))
    event = Event(**(VALUES | {"occurred_at": local}))
    assert event.occurred_at == MOMENT
    assert event.occurred_at.tzinfo is UTC


def test_what_was_not_said_is_none() -> None:
    """Only what identifies an event must be given."""
    event = Event(id="1", publisher="p", type="t", wire_event="T", received_at=MOMENT, raw=b"{}")
    assert (event.entity, event.occurred_at, event.scheduled, event.extra) == (None, None, None, {})
