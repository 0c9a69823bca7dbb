"""Business NXT, a publisher that is nothing but a file: what its changes of tables become, and when it is there."""

import json
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import ConfigError
from config.publishers import PACKAGED, load_publishers
from config.settings import Settings
from router.events.catalogue import Catalogue, UnknownStream
from router.events.event import Event
from router.events.identify import Identified, identify
from router.events.normalise import normalise
from router.events.resource import key_of
from router.events.samples import body, sample
from router.ingress.signature import verify
from workers.testing import sample_event

SLUG = "business-nxt"
STREAM = f"{SLUG}/table_change"
NOW = datetime(2025, 11, 1, tzinfo=UTC)
SECRET = b"dGVzdC1zZWNyZXQ="
BODY = (
    b'{"tableIdentifier":"Product","customerNo":0,"companyNo":0,"primaryKeys":[{"ProductNo":"1001"}],'
    b'"event":"UPDATE","timestamp":"2024-05-27T18:12:55.7720784Z"}'
)
ITEM: dict[str, Any] = {
    "tableIdentifier": "Product",
    "customerNo": 3,
    "companyNo": 7,
    "event": "UPDATE",
    "primaryKeys": [{"ProductNo": "1001"}],
    "changedColumns": ["Name"],
    "timestamp": "2024-05-27T18:12:55.7720784Z",
    "changedTimestamp": "2024-05-27T18:12:54.5Z",
    "changedByUser": "12",
}
NOTIFIED = datetime(2024, 5, 27, 18, 12, 55, 772078, tzinfo=UTC)
CHANGED = datetime(2024, 5, 27, 18, 12, 54, 500000, tzinfo=UTC)


@pytest.fixture(scope="module")
def nxt() -> Catalogue:
    """Return the catalogue of somebody who has a secret for Business NXT."""
    return Catalogue.for_settings(Settings(secrets={SLUG: "x"}))


def event_of(nxt: Catalogue, raw: bytes) -> Event:
    """Return the event of an item."""
    [found] = identify(nxt, SLUG, raw, "header-id")
    assert isinstance(found, Identified)
    return normalise(nxt, found.stream, found.id, found.raw, NOW)


def changed(nxt: Catalogue, **members: Any) -> Event:
    """Return the event of an item with other members."""
    return event_of(nxt, json.dumps(ITEM | members).encode())


def test_the_known_signature(nxt: Catalogue) -> None:
    """The secret is taken as text, though it looks like base64."""
    scheme = nxt.publishers[SLUG].signature
    assert verify(scheme, [SECRET], BODY, ["/b4StW6+P42TCxPELOnSAjURZDVLyVkKSCierl8SnAM="])
    assert not verify(scheme, [SECRET], BODY, ["9oIeXlSWqLrimElj0cwn5uyhxLTZ+GXQFJj75XdtCa0="])


def test_every_field(nxt: Catalogue) -> None:
    """A change of a table has the table as entity, its key as resource, and leaves over only what has no field."""
    assert changed(nxt) == Event(
        id="header-id",
        publisher=SLUG,
        type="table_change",
        wire_event="UPDATE",
        entity="product",
        action="updated",
        resource="product/1001",
        resource_id="1001",
        company_id="7",
        user_id="12",
        occurred_at=CHANGED,
        received_at=NOW,
        extra={name: ITEM[name] for name in ("customerNo", "primaryKeys", "changedColumns", "timestamp")},
        raw=json.dumps(ITEM).encode(),
    )


@pytest.mark.parametrize(
    ("members", "action", "occurred_at"),
    [
        ({"event": "INSERT"}, "created", CHANGED),
        ({"event": "update"}, "updated", CHANGED),
        ({"event": "DELETE"}, "deleted", NOTIFIED),
        ({"event": "DELETE", "timestamp": None}, "deleted", CHANGED),
        ({"event": "UPDATE", "changedTimestamp": None}, "updated", NOTIFIED),
        ({"event": "UPDATE", "changedTimestamp": "soon"}, "updated", NOTIFIED),
        ({"event": "INSERT", "changedTimestamp": None, "timestamp": None}, "created", None),
        ({"event": "TableChange"}, "changed", CHANGED),
    ],
)
def test_action_and_time(nxt: Catalogue, members: dict[str, Any], action: str, occurred_at: datetime | None) -> None:
    """The event's name says what happened; the notification's time counts for what was deleted, else last."""
    event = changed(nxt, **members)
    assert (event.type, event.action, event.occurred_at) == ("table_change", action, occurred_at)


@pytest.mark.parametrize(
    ("company", "customer", "company_id"),
    [(7, 3, "7"), (0, 3, "3"), ("0", "3", "3"), (0, 0, None), (None, 3, "3"), ("", 0, None), (10, 0, "10")],
)
def test_company(nxt: Catalogue, company: Any, customer: Any, company_id: str | None) -> None:
    """The company is `companyNo` unless that is 0, then `customerNo` unless that is 0, too."""
    event = changed(nxt, companyNo=company, customerNo=customer)
    assert event.company_id == company_id
    assert "companyNo" not in event.extra


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ([{"OrderNo": 5}, {"LineNo": 2}], "5/2"),
        ([{"OrderNo": 5, "LineNo": 2}], "5/2"),
        ({"ProductNo": "A#1"}, "A#1"),
        ([{"A": "1/2"}, {"B": "3"}], "1%2F2/3"),
        ([{"A": "1"}, {"B": "2/3"}], "1/2/3"),
        ([{"A": "50%"}, {"B": "1"}], "50%25/1"),
        ([], None),
        ([{}], None),
        (None, None),
        ("1001", None),
        ([["1001"]], None),
        ([{"A": None}], None),
        ([{"A": 1.5}], None),
        ([{"A": True}], None),
        ([{"A": ""}], None),
        ([{"A": ".."}], None),
        ([{"A": "x" * 2000}], None),
    ],
)
def test_primary_keys(nxt: Catalogue, keys: Any, key: str | None) -> None:
    """The values of the primary keys are the resource; their names stay in `extra`, as does what is no key."""
    event = changed(nxt, primaryKeys=keys)
    assert (event.resource, event.resource_id, event.resource_path) == (key and f"product/{key}", key, None)
    assert event.extra.get("primaryKeys") == keys


@pytest.mark.parametrize(
    ("table", "entity"), [("Order_Line", "order_line"), ("a/b", "table"), (None, "table"), (5, "table")]
)
def test_table(nxt: Catalogue, table: Any, entity: str) -> None:
    """One row of the catalogue takes all tables; what is no name of one stays in `extra`."""
    event = changed(nxt, tableIdentifier=table)
    assert (event.type, event.entity) == ("table_change", entity)
    assert event.resource == (f"{entity}/1001" if entity == "order_line" else None)
    assert event.extra.get("tableIdentifier") == (None if entity == "order_line" else table)


def test_other_events_are_unlisted(nxt: Catalogue) -> None:
    """An event that the file does not list is kept with its name."""
    event = changed(nxt, event="TRUNCATE")
    assert (event.type, event.wire_event, event.action) == ("unlisted", "TRUNCATE", None)


PARTS = st.lists(st.integers() | st.text("A/%.#1", min_size=1, max_size=5), min_size=2, max_size=3)


@given(PARTS, PARTS)
def test_no_two_rows_have_one_key(first: list[Any], second: list[Any]) -> None:
    """Keys of as many parts are the same only where all parts are."""
    keys = [key_of([{f"k{n}": part} for n, part in enumerate(parts)]) for parts in (first, second)]
    if None not in keys and len(first) == len(second):
        assert (keys[0] == keys[1]) == ([*map(str, first)] == [*map(str, second)])


def test_samples(nxt: Catalogue) -> None:
    """What `send` sends of it is read whole; a handler can be tried with it though nothing switched it on."""
    for seed in range(20):
        event = event_of(nxt, body([sample(nxt, STREAM, Random(seed), NOW)]))
        assert event.stream == STREAM
        assert event.action in {"created", "updated", "deleted"}
        assert None not in (event.resource, event.company_id, event.occurred_at, event.user_id)
    assert sample_event(STREAM).publisher == SLUG


def test_it_is_off_until_it_is_wanted() -> None:
    """It is in no catalogue, and the 58 events of the ERP are all there are, until a setting wants it."""
    assert SLUG not in Catalogue.load().publishers
    assert SLUG not in {publisher.slug for publisher in load_publishers()}
    catalogue = Catalogue.for_settings(Settings())
    assert len(catalogue.streams()) == 58 + 3
    with pytest.raises(UnknownStream, match=r"publisher business-nxt is off: .*ROUTER_PUBLISHERS=business-nxt"):
        catalogue.select("business-nxt/*")


@pytest.mark.parametrize(
    "wish",
    [
        {"secrets": {"business_nxt": "x"}},
        {"allow_unsigned": SLUG},
        {"publishers": [SLUG]},
        {"publishers": "Business_NXT"},
    ],
)
def test_what_switches_it_on(wish: dict[str, Any]) -> None:
    """A secret does, being allowed unsigned, or its name in `publishers`, which processes without secrets need."""
    catalogue = Catalogue.for_settings(Settings(**wish))
    assert catalogue.select("business-nxt/*") == (STREAM, f"{SLUG}/unlisted")
    assert len(catalogue.streams()) == 58 + 3 + 2


def test_hints_alone_do_not_switch_it_on() -> None:
    """A setting that is about it is no typo while it is off."""
    assert SLUG not in Catalogue.for_settings(Settings(hints={SLUG: "a"})).publishers


@pytest.mark.parametrize("name", [SLUG, "Business_NXT"])
def test_who_names_it_while_it_is_off_learns_how_to_switch_it_on(name: str) -> None:
    """Not that there is no such publisher, whether it is named as one or in a glob."""
    catalogue = Catalogue.for_settings(Settings())
    switch = f"publisher {SLUG} is off: set `publishers` to it, here ROUTER_PUBLISHERS={SLUG}, or give it a secret"
    assert catalogue.no_publisher(name) == f"no publisher {name!r}; {switch}"
    with pytest.raises(UnknownStream, match=switch):
        catalogue.select(f"{name}/*")
    assert catalogue.no_publisher("acme") == f"no publisher 'acme'; there are {', '.join(catalogue.publishers)}"


def test_publishers_that_are_none() -> None:
    """What `publishers` names must be there."""
    with pytest.raises(ConfigError, match=r"publishers: 'business-next' is no publisher; known are .*business-nxt"):
        Catalogue.for_settings(Settings(publishers="business-next"))


def test_the_example_of_the_documentation_is_the_file() -> None:
    """The page on publishers shows the very file that is shipped."""
    page = (Path(__file__).parents[4] / "docs" / "publishers.md").read_text(encoding="utf-8")
    file = (PACKAGED / "business-nxt.toml").read_text(encoding="utf-8")
    assert file[file.index("slug = ") :] in page
