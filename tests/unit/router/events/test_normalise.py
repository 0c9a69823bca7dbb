"""Rules of normalising: what each field of an event is made of, and that no readable item fails."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.cloudevents import from_cloudevent, to_cloudevent_json
from router.events.catalogue import Catalogue
from router.events.event import Event
from router.events.fields import UnreadableEvent
from router.events.identify import Identified, identify
from router.events.normalise import normalise
from router.events.ticks import from_ticks, read_time, to_ticks

FINANCIAL = "visma-net-financial"
NOW = datetime(2025, 11, 1, 12, 0, 0, 1, tzinfo=UTC)
MOMENT = datetime(2025, 10, 30, 15, 5, 57, 790000, tzinfo=UTC)
CHANGED = {
    "NotificationId": "E1694xxxxxxxx907ff",
    "contextId": "5xxxxx",
    "event": "customer_changed",
    "action": "UPDATED",
    "resourceId": "55555",
    "resourceUri": "https://api.finance.visma.net/v1/customer/55555",
    "relativeResourceUri": "v1/customer/55555",
    "timeStamp": 638974335577900000,
    "ApiClientId": None,
    "TenantId": "f6cd9xxxxxxxxxxxxx6183",
    "IsScheduler": False,
    "ConnectId": "18eb1xxxxxxxxxxxx40666",
}
UPDATED = {
    "event": "Customer_Updated",
    "companyId": "5xxxxx",
    "entityId": "567xxxxxxxxxxxxxxxxxxxxxxxxxxff2",
    "notificationId": "e1691481xxxxxxxxxxxxxxxxxxxx07ff",
    "entityLocation": "api/v1/customer/55555",
    "erpEvent": "1",
    "erpDocumentStatus": None,
    "documentStatus": None,
    "UserId": "3363881",
    "timeStamp": "638974335577900000",
    "apiClientId": None,
    "TenantId": "f6cd9xxxxxxxxxxxxx6183",
    "ConnectId": "18eb1xxxxxxxxxxxx40666",
    "ischeduler": False,
}
COMMON = {
    "publisher": FINANCIAL,
    "entity": "customer",
    "action": "updated",
    "resource": "customer/55555",
    "resource_path": "v1/customer/55555",
    "resource_id": "55555",
    "company_id": "5xxxxx",
    "tenant_id": "f6cd9xxxxxxxxxxxxx6183",
    "occurred_at": MOMENT,
    "ticks": 638974335577900000,
    "received_at": NOW,
    "connect_id": "18eb1xxxxxxxxxxxx40666",
    "scheduled": False,
}


Read = Callable[[dict[str, Any]], Event]


@pytest.fixture(scope="session")
def read(catalogue: Catalogue) -> Read:
    """Identify and normalise an item of Financial, given its members."""

    def read(item: dict[str, Any]) -> Event:
        [found] = identify(catalogue, FINANCIAL, json.dumps(item).encode(), "header")
        assert isinstance(found, Identified)
        return normalise(catalogue, found.stream, found.id, found.raw, NOW)

    return read


def test_changed(read: Read) -> None:
    """The dialect of Changed gives every field its value, and leaves nothing over."""
    assert read(CHANGED) == Event(
        **COMMON,
        id="e1694xxxxxxxx907ff",
        type="customer_changed",
        wire_event="customer_changed",
        raw=json.dumps(CHANGED).encode(),
    )


def test_updated(read: Read) -> None:
    """The dialect of Updated gives the same; the ERP's own id of the entity is kept by its name."""
    assert read(UPDATED) == Event(
        **COMMON,
        id="e1691481xxxxxxxxxxxxxxxxxxxx07ff",
        type="customer_updated",
        wire_event="Customer_Updated",
        erp_event="1",
        user_id="3363881",
        extra={"entityId": "567xxxxxxxxxxxxxxxxxxxxxxxxxxff2"},
        raw=json.dumps(UPDATED).encode(),
    )


@pytest.mark.parametrize(
    ("event", "members", "action"),
    [
        ("customer_changed", {"action": "UPDATED"}, "updated"),
        ("customer_changed", {"action": "Cre-ated"}, "created"),
        ("customer_changed", {"Action": "deleted"}, "deleted"),
        ("customer_changed", {"action": "CHANGED"}, "changed"),
        ("customer_changed", {}, "changed"),
        ("customer_changed", {"action": ""}, "changed"),
        ("customer_changed", {"action": " "}, "changed"),
        ("customer_changed", {"action": None}, "changed"),
        ("customer_changed", {"action": {"a": 1}}, "changed"),
        ("customer_action_triggered", {"action": "Release AR"}, "Release AR"),
        ("customer_action_triggered", {}, "action_triggered"),
        ("no_such_event", {}, None),
        ("no_such_event", {"action": "Created"}, "created"),
    ],
)
def test_action(read: Read, event: str, members: dict[str, Any], action: str | None) -> None:
    """The action is what the body says, else what the catalogue says."""
    assert read({"event": event} | members).action == action


@pytest.mark.parametrize(
    ("members", "field", "value", "extra"),
    [
        ({"CONTEXT_ID": "7"}, "company_id", "7", {}),
        ({"companyId": "1", "contextId": "2"}, "company_id", "2", {"companyId": "1"}),
        ({"companyId": "1", "contextId": None}, "company_id", "1", {}),
        ({"companyId": "1", "contextId": ""}, "company_id", "1", {}),
        ({"tenantid": "a", "TenantId": "b"}, "tenant_id", "a", {"TenantId": "b"}),
        ({"tenantid": None, "TenantId": "b"}, "tenant_id", "b", {}),
        ({"TenantId": 5}, "tenant_id", "5", {}),
        ({"TenantId": 1.5}, "tenant_id", "1.5", {}),
        ({"TenantId": True}, "tenant_id", "true", {}),
        ({"TenantId": False}, "tenant_id", "false", {}),
        ({"TenantId": ["x"]}, "tenant_id", None, {"TenantId": ["x"]}),
        ({"TenantId": {"x": 1}, "tenantId": "b"}, "tenant_id", "b", {"TenantId": {"x": 1}}),
        ({"TenantId": "\t"}, "tenant_id", None, {"TenantId": "\t"}),
        ({"erpDocumentStatus": "H", "documentStatus": "Hold"}, "document_status", "Hold", {"erpDocumentStatus": "H"}),
        ({"erpDocumentStatus": "H", "documentStatus": None}, "document_status", "H", {}),
        ({"status": "Completed"}, "document_status", "Completed", {}),
        ({"Status": 5}, "document_status", "5", {}),
        ({"status": ""}, "document_status", None, {}),
        ({"status": {"code": 1}}, "document_status", None, {"status": {"code": 1}}),
        ({"status": "Open", "documentStatus": "Hold"}, "document_status", "Hold", {"status": "Open"}),
        ({"status": "Open", "documentStatus": None, "erpDocumentStatus": ""}, "document_status", "Open", {}),
        ({"erpEvent": 1}, "erp_event", "1", {}),
        ({"userId": 3363881}, "user_id", "3363881", {}),
        ({"API_CLIENT_ID": "c"}, "api_client_id", "c", {}),
        ({"isScheduler": True}, "scheduled", True, {}),
        ({"ischeduler": "True"}, "scheduled", True, {}),
        ({"ischeduler": "false"}, "scheduled", False, {}),
        ({"ischeduler": 1}, "scheduled", True, {}),
        ({"ischeduler": 0}, "scheduled", False, {}),
        ({"ischeduler": None}, "scheduled", None, {}),
        ({"ischeduler": "maybe"}, "scheduled", None, {"ischeduler": "maybe"}),
        ({"ischeduler": []}, "scheduled", None, {"ischeduler": []}),
        ({"resourceId": 55555}, "resource_id", "55555", {}),
        ({"colour": None, "a": [1]}, "tenant_id", None, {"colour": None, "a": [1]}),
        ({"Event": "other"}, "wire_event", "customer_changed", {"Event": "other"}),
        ({"EVENT": None}, "wire_event", "customer_changed", {}),
        ({"notificationId": "a", "NotificationId": "b"}, "id", "a", {"NotificationId": "b"}),
        ({"notificationId": True}, "id", "header", {"notificationId": True}),
    ],
)
def test_field(read: Read, members: dict[str, Any], field: str, value: Any, extra: dict[str, Any]) -> None:
    """Names are found in any spelling, scalars become text, and what a field cannot hold stays in `extra`."""
    event = read({"event": "customer_changed"} | members)
    assert getattr(event, field) == value
    assert event.extra == extra


@pytest.mark.parametrize(
    ("members", "path", "resource", "resource_id"),
    [
        ({}, None, None, None),
        ({"relativeResourceUri": "v1/Customer/A1"}, "v1/Customer/A1", "customer/A1", "A1"),
        ({"relativeResourceUri": "/API/v2/customer/5/"}, "v2/customer/5", "customer/5", "5"),
        ({"relativeResourceUri": "v1/customer/5/contact/6"}, "v1/customer/5/contact/6", "customer/5/contact/6", "6"),
        ({"relativeResourceUri": "v1/customer"}, "v1/customer", "customer", None),
        ({"relativeResourceUri": "v1/customer", "entityId": 9}, "v1/customer", "customer", "9"),
        ({"relativeResourceUri": "customer/5", "resourceId": "6"}, "customer/5", "customer/5", "6"),
        ({"entityLocation": "api/v1/customer/5"}, "v1/customer/5", "customer/5", "5"),
        ({"entityLocation": "v1/a/1", "relativeResourceUri": "v1/b/2"}, "v1/b/2", "b/2", "2"),
        ({"resourceUri": "https://h.example/api/v1/customer/5"}, "v1/customer/5", "customer/5", "5"),
        ({"resourceUri": "https://h.example/API/controller/api/v1/x/5"}, "v1/x/5", "x/5", "5"),
        ({"resourceUri": "https://h.example"}, None, None, None),
        ({"resourceUri": "ftp://h.example/v1/customer/5"}, None, None, None),
        ({"resourceUri": "v1/customer/5"}, "v1/customer/5", "customer/5", "5"),
        ({"relativeResourceUri": "../5", "resourceUri": "https://h/v1/customer/5"}, None, None, None),
        ({"relativeResourceUri": "", "resourceUri": "https://h/v1/customer/5"}, "v1/customer/5", "customer/5", "5"),
        ({"resourceId": "5"}, None, "customer/5", "5"),
        ({"entityId": "guid"}, None, "customer/guid", "guid"),
        ({"resourceId": "5", "entityId": "guid"}, None, "customer/5", "5"),
        ({"resourceId": "../admin"}, None, None, "../admin"),
        ({"resourceId": "a?b"}, None, "customer/a?b", "a?b"),
    ],
)
def test_resource(
    read: Read, members: dict[str, Any], path: str | None, resource: str | None, resource_id: str | None
) -> None:
    """The path is relative and safe, the resource has no version, each of resource and id is made of the other."""
    event = read({"event": "customer_changed"} | members)
    assert (event.resource_path, event.resource, event.resource_id) == (path, resource, resource_id)


def test_unlisted_has_no_entity(read: Read) -> None:
    """An event that is not listed has no entity, so an id alone names no resource."""
    event = read({"event": "Robot_Painted", "resourceId": "5"})
    assert (event.type, event.entity, event.resource, event.wire_event) == ("unlisted", None, None, "Robot_Painted")


@pytest.mark.parametrize(
    ("sent", "occurred_at", "ticks"),
    [
        (638974335577900000, MOMENT, 638974335577900000),
        ("638974335577900000", MOMENT, 638974335577900000),
        (" 638974335577900019 ", MOMENT + timedelta(microseconds=1), 638974335577900019),
        (3155378975999999999, datetime.max.replace(tzinfo=UTC), 3155378975999999999),
        (10**17, datetime(317, 11, 21, 17, 46, 40, tzinfo=UTC), 10**17),
        (1761836757790, MOMENT, None),
        ("1761836757790", MOMENT, None),
        (1761836757790012, MOMENT + timedelta(microseconds=12), None),
        (1761836757, MOMENT.replace(microsecond=0), None),
        (10**8, datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC), None),
        (10**11, datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC), None),
        (10**14, datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC), None),
        ("2025-10-30T15:05:57.7900000Z", MOMENT, None),
        ("2025-10-30t15:05:57.79z", MOMENT, None),
        ("2025-10-30T15:05:57.7900009", MOMENT, None),
        ("2025-10-30T17:05:57.79+02:00", MOMENT, None),
        ("2025-10-30T13:05:57.7900000-0200", MOMENT, None),
        ("2025-10-30 15:05:57.79", MOMENT, None),
        (" 2025-10-30 15:05:57.79 ", MOMENT, None),
    ],
)
def test_time(read: Read, sent: Any, occurred_at: datetime | None, ticks: int | None) -> None:
    """Ticks are exact, as a number or its digits; counts since 1970 are told by their size; ISO 8601 is read too."""
    event = read({"event": "customer_changed", "timeStamp": sent})
    assert (event.occurred_at, event.ticks, event.extra) == (occurred_at, ticks, {})


@pytest.mark.parametrize(
    "sent",
    [
        *("yesterday", 6.389e17, 1761836757790.0, True, [1], {"ticks": 1}, "²", "638974335577900000.0", "6_3"),
        *(0, 1, -1, 10**8 - 1, "0", "-5", -(10**18), 3155378976000000000, 10**39, -(10**40), "9" * 41, 10**40),
        *("0001-01-01T00:00:00", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"),
    ],
)
def test_no_time(read: Read, sent: Any) -> None:
    """What is no time stamp leaves the time unknown and stays in `extra`."""
    event = read({"event": "customer_changed", "timeStamp": sent})
    assert (event.occurred_at, event.ticks, event.extra) == (None, None, {"timeStamp": sent})


MOMENTS = st.datetimes(datetime(2, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001 - in the map


@given(MOMENTS)
def test_ticks_are_exact(moment: datetime) -> None:
    """Ticks and moments stand for each other to the microsecond, over all years; so do moments and ISO 8601."""
    assert from_ticks(to_ticks(moment)) == moment
    assert read_time(moment.isoformat()) == (moment, None)


@given(
    st.datetimes(datetime(1973, 4, 1), datetime(5000, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC)),  # noqa: DTZ001
    st.integers(0, 9),
    st.booleans(),
)
def test_a_number_says_by_its_size_what_it_counts(moment: datetime, tick: int, text: bool) -> None:  # noqa: FBT001
    """Any moment since 1973 is read from its ticks, micro-, milli- and seconds, cut to what these can hold."""
    since_1970 = moment - datetime(1970, 1, 1, tzinfo=UTC)
    written = str if text else int
    assert read_time(written(to_ticks(moment) + tick)) == (moment, to_ticks(moment) + tick)
    for unit in (timedelta(microseconds=1), timedelta(milliseconds=1), timedelta(seconds=1)):
        count = since_1970 // unit
        assert read_time(written(count)) == (moment - since_1970 % unit, None)


TIME_STAMPS = st.integers() | st.integers(-(2**64), 2**64) | st.floats() | st.text() | st.none() | st.booleans()


@given(TIME_STAMPS | st.integers().map(str))
def test_any_time_stamp(sent: Any) -> None:
    """Whatever is sent as a time, it is a moment of the years 2 to 9999 in UTC, or none; ticks are the number sent."""
    found = read_time(sent)
    if found is not None:
        moment, ticks = found
        assert moment.year > 1
        assert moment.utcoffset() == timedelta(0)
        assert ticks in (None, int(sent) if not isinstance(sent, str) or sent.strip().isdigit() else None)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [(b"", "not valid JSON"), (b"[]", "not a JSON object"), (b"{}", "no event name"), (b'"\xff"', "not valid UTF-8")],
)
def test_unreadable(catalogue: Catalogue, raw: bytes, reason: str) -> None:
    """Bytes that are no event are refused with the reason."""
    with pytest.raises(UnreadableEvent, match=reason):
        normalise(catalogue, f"{FINANCIAL}/customer_changed", "x", raw, NOW)


def test_stream_that_left_the_catalogue(catalogue: Catalogue) -> None:
    """What was stored for an event or publisher that is no longer listed is still read."""
    raw = json.dumps(CHANGED).encode()
    for stream in (f"{FINANCIAL}/old", "acme/thing"):
        event = normalise(catalogue, stream, "x", raw, NOW)
        assert (event.stream, event.entity, event.resource) == (stream, None, "customer/55555")


def test_dialect_of_a_publisher(tmp_path: Path) -> None:
    """A publisher with other names of fields needs a file and no code."""
    (tmp_path / "acme.toml").write_text("""
        slug = "acme"
        name = "Acme"
        [signature]
        scheme = "hmac-sha256"
        encoding = "base64"
        header = "x-vwd-signature-v1"
        [dialect]
        company_id = ["companyNo"]
        user_id = ["changedByUser"]
        [[events]]
        type = "row_changed"
        entity = "row"
        action = "changed"
        description = "A row changed."
        aliases = ["UPDATE"]
    """)
    body = b"""{"customerNo":0,"companyNo":7,"event":"UPDATE","changedByUser":"x",
        "timestamp":"2024-05-27T18:12:55.7720784Z"}"""
    catalogue = Catalogue.load(tmp_path)
    [found] = identify(catalogue, "acme", body, None)
    event = normalise(catalogue, found.stream, found.id, found.raw, NOW)
    assert (event.stream, event.company_id, event.user_id) == ("acme/row_changed", "7", "x")
    assert event.occurred_at == datetime(2024, 5, 27, 18, 12, 55, 772078, tzinfo=UTC)
    assert event.extra == {"customerNo": 0}


@pytest.mark.parametrize("publisher", ["visma-net-erp-salesorderservice", "visma-net-journal-transaction"])
@pytest.mark.parametrize(
    ("members", "type_", "wire_event", "extra"),
    [
        ({"eventType": "{}"}, "{}", "{}", {}),
        ({"EVENT_NAME": "{}"}, "{}", "{}", {}),
        ({"type": "{}"}, "{}", "{}", {}),
        ({"event": "", "type": "{}"}, "{}", "{}", {}),
        ({"type": "SO", "eventType": "{}"}, "{}", "{}", {"type": "SO"}),
        ({"eventType": "created", "type": "{}"}, "{}", "{}", {"eventType": "created"}),
        ({"eventType": "created", "type": "x"}, "unlisted", "created", {"type": "x"}),
    ],
)
def test_fallback_names_of_the_event(
    catalogue: Catalogue, publisher: str, members: dict[str, Any], type_: str, wire_event: str, extra: dict[str, Any]
) -> None:
    """Where bodies are not public the event may be named by other fields; a name that is listed goes before others."""
    first = catalogue.publishers[publisher].events[0].type
    item = {key: value.format(first.upper()) for key, value in members.items()}
    [found] = identify(catalogue, publisher, json.dumps(item).encode(), "header")
    assert isinstance(found, Identified)
    event = normalise(catalogue, found.stream, found.id, found.raw, NOW)
    assert (event.type, event.wire_event, event.extra) == (type_.format(first), wire_event.format(first.upper()), extra)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)
KNOWN = st.sampled_from([*CHANGED, *UPDATED]).flatmap(lambda name: st.sampled_from([name, name.upper(), f"_{name}"]))
PATHS = st.text("av1/.:%\\?#2e", max_size=12)
TIMES = st.integers(-(10**20), 10**20) | st.datetimes().map(str)
ITEMS = st.dictionaries(KNOWN | st.text(), JSON | PATHS | TIMES, max_size=12)
NAMES = st.sampled_from(["customer_changed", "Customer_Updated", "x"]) | st.text(min_size=1, max_size=200)


@given(item=ITEMS, name=NAMES, received_at=st.datetimes())
def test_any_item(catalogue: Catalogue, item: dict[str, Any], name: str, received_at: datetime) -> None:
    """Any object with an event's name becomes a valid event, and comes back from JSON and CloudEvents the same."""
    item = {**item, "event": name}
    found = identify(catalogue, FINANCIAL, json.dumps(item).encode(), None)[0]
    if isinstance(found, Identified):
        event = normalise(catalogue, found.stream, found.id, found.raw, received_at.replace(tzinfo=UTC))
        assert Event.model_validate(event.model_dump()) == event
        assert Event.model_validate_json(event.model_dump_json()) == event
        assert from_cloudevent(to_cloudevent_json(event)) == event
        assert json.loads(event.raw) == item
        assert set(event.extra) <= set(item)
