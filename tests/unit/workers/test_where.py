"""Filters: what passes, what is compared how, and which conditions are refused."""

import tomllib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import ConfigError
from router.events.event import Event
from workers import Subscription
from workers.where import Where


def event(**fields: Any) -> Event:
    """Return an event with these fields."""
    known = {"id": "e1", "publisher": "p", "type": "customer_updated", "wire_event": "customer_updated", "raw": b"{}"}
    return Event(**{**known, "received_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), **fields})


def passes(where: Any, **fields: Any) -> bool:
    """Return whether an event with these fields passes."""
    return Where(where).passes(event(**fields))


@pytest.mark.parametrize(
    ("condition", "value", "expected"),
    [
        ("51", "51", True),
        ("51", "52", False),
        (51, "51", True),
        (51.0, "51", True),
        (51.5, "51.5", True),
        (["51", 52], "52", True),
        (("51", "52"), "53", False),
        ({"51", "52"}, "51", True),
        ({"not": "51"}, "51", False),
        ({"not": "51"}, None, True),
        ({"not": ["51", "52"]}, "52", False),
        ({"not": ["51", "52"]}, "53", True),
        ({"not": {"not": "51"}}, "51", True),
        ([{"not": "5*"}, "51"], "51", True),
        ([{"not": "5*"}, "51"], "52", False),
        ([{"not": "5*"}, "51"], "61", True),
        ("5*", "51", True),
        ("5?", "511", False),
        ("[56]1", "61", True),
        ("a[1]", "a[1]", True),
        ("a[1]", "a1", True),
        ("*", "", True),
        ("*", None, False),
        ({"not": "*"}, None, True),
        (None, None, True),
        (None, "None", False),
        ("None", None, False),
        ([None, "51"], None, True),
        ("Completed", "completed", False),
        ("[Cc]ompleted", "completed", True),
        (True, "true", True),
        (True, "1", False),
    ],
)
def test_a_condition(condition: Any, value: str | None, *, expected: bool) -> None:
    """A field equals a value, matches a glob, meets any condition of a list, or not; None is no value."""
    assert passes({"company_id": condition}, company_id=value) is expected


@pytest.mark.parametrize(
    ("where", "fields", "expected"),
    [
        ({"scheduled": True}, {"scheduled": True}, True),
        ({"scheduled": "true"}, {"scheduled": True}, True),
        ({"scheduled": False}, {"scheduled": None}, False),
        ({"scheduled": {"not": True}}, {"scheduled": None}, True),
        ({"scheduled": 1}, {"scheduled": True}, False),
        ({"ticks": 638000000000000000}, {"ticks": 638000000000000000}, True),
        ({"ticks": "638*"}, {"ticks": 638000000000000000}, True),
        ({"received_at": "2026-01-02T*Z"}, {}, True),
        ({"type": "customer_*", "action": "updated"}, {"action": "updated"}, True),
        ({"type": "customer_*", "action": "updated"}, {"action": "deleted"}, False),
    ],
)
def test_fields_of_other_types(where: Any, fields: dict[str, Any], *, expected: bool) -> None:
    """Numbers, booleans and times are compared as the texts that JSON has of them; all conditions have to be met."""
    assert passes(where, **fields) is expected


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"extra.Region": "north"}, True),
        ({"extra.Region": "south"}, False),
        ({"extra": {"Region": "n*"}}, True),
        ({"extra.Missing": None}, True),
        ({"extra.Missing": {"not": "x"}}, True),
        ({"extra.Missing": "*"}, False),
        ({"extra.a.b": "dotted"}, True),
        ({"extra.c.d.e": 5}, True),
        ({"extra.c.d.e": 6}, False),
        ({"extra.c": "*"}, True),
        ({"extra.Region.x": "*"}, False),
        ({"extra.tags": "red"}, True),
        ({"extra.tags": {"not": "red"}}, False),
        ({"extra.tags": {"not": "green"}}, True),
        ({"extra.lines.sku": "B2"}, True),
        ({"extra.lines.sku": "C3"}, False),
        ({"extra.empty": {"not": "*"}}, True),
        ({"extra.flag": True}, True),
        ({"extra.flag": "1"}, False),
        ({"extra.amount": 10}, True),
        ({"extra.amount": "10"}, True),
    ],
)
def test_unknown_fields(where: Any, *, expected: bool) -> None:
    """`extra.NAME` is what the model lacks, at any depth, by its name as sent; any item of a list is enough."""
    extra = {
        "Region": "north",
        "a.b": "dotted",
        "c": {"d": {"e": 5}, "half": "\ud800"},
        "tags": ["red", "blue"],
        "lines": [{"sku": "A1"}, {"sku": "B2"}, "none"],
        "empty": [],
        "flag": True,
        "amount": 10.0,
    }
    assert passes(where, extra=extra) is expected


def test_toml_means_the_same() -> None:
    """A table of TOML filters as the same mapping in Python does, dotted names and all."""
    text = """
    [where]
    company_id = [51, "52"]
    document_status = "Completed"
    action.not = ["deleted", "archived"]
    extra.Region = "n*"
    """
    where = Where(tomllib.loads(text)["where"])
    fields: dict[str, Any] = {"company_id": "51", "document_status": "Completed", "extra": {"Region": "north"}}
    assert where.passes(event(**fields, action="updated"))
    assert not where.passes(event(**fields, action="deleted"))
    assert not where.passes(event(**{**fields, "extra": {}}, action="updated"))


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"companyid": "51"}, "'companyid', which is no field to filter by, did you mean company_id?"),
        ({"Region": "north"}, "document_status, .* and extra.NAME"),
        ({"raw": "x"}, "'raw'"),
        ({"hints": "x"}, "'hints'"),
        ({"hints.x-y": "x"}, "'hints.x-y'"),
        ({"extra": "x"}, "'extra'"),
        ({"extra": {"not": "x"}}, "'extra'"),
        ({"extra.": "x"}, "'extra.'"),
        ({5: "x"}, "5, which is no field"),
        ({"company_id": []}, "an empty list for 'company_id'"),
        ({"company_id": {"not": []}}, "an empty list for 'company_id'"),
        ({"company_id": {}}, "write a text, a number"),
        ({"company_id": {"no": "x"}}, "write a text, a number"),
        ({"company_id": {"not": "x", "or": "y"}}, "write a text, a number"),
        ({"company_id": b"51"}, "write a text, a number"),
        ({"company_id": float("nan")}, "write a text, a number"),
        ({"company_id": lambda _: True}, "write a text, a number"),
        ({"received_at": datetime(2026, 1, 1, tzinfo=UTC)}, "write a text, a number"),
        (["company_id"], "where is a table of fields"),
        ("company_id=51", "where is a table of fields"),
        ([], "where is a table of fields"),
        ({"extra.a": "x", "extra": {"a": "y"}}, "'extra.a' twice"),
    ],
)
def test_what_is_refused(where: Any, said: str) -> None:
    """A field that no event has, and what is no condition, is refused where the subscription is made."""
    with pytest.raises(ConfigError, match=rf"^subscription 'sub': .*{said}"):
        Subscription("sub", events=["*"], where=where)


def test_a_list_within_itself_is_refused() -> None:
    """Conditions without an end are refused."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ConfigError, match="nested too deeply"):
        Where({"company_id": endless})


def test_no_condition_is_no_filter() -> None:
    """None and an empty table skip nothing."""
    assert Subscription("sub", events=["*"]).where is None
    assert Subscription("sub", events=["*"], where={}).where is None


def test_text_of_a_filter() -> None:
    """A filter shows itself as JSON, names in order, so that two definitions can be compared."""
    assert str(Where({"type": {"b", "a"}, "action": ("x", None)})) == '{"action": ["x", null], "type": ["a", "b"]}'


_texts = st.text("ab1*?[]", max_size=4) | st.sampled_from(["true", "51", "", "None"])
_scalars = st.none() | st.booleans() | st.integers(0, 60) | _texts
_conditions = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, min_size=1, max_size=3) | inner.map(lambda each: {"not": each}),
    max_leaves=6,
)
_values = st.none() | _texts
_tables = st.fixed_dictionaries({}, optional=dict.fromkeys(("company_id", "user_id", "action"), _conditions))


@given(_conditions, _values)
def test_law_of_not(condition: Any, value: str | None) -> None:
    """`not` turns a condition round, and twice is no change."""
    plain = passes({"company_id": condition}, company_id=value)
    assert passes({"company_id": {"not": condition}}, company_id=value) is not plain
    assert passes({"company_id": {"not": {"not": condition}}}, company_id=value) is plain


@given(st.lists(_conditions, min_size=1, max_size=4), _values)
def test_law_of_lists(conditions: list[Any], value: str | None) -> None:
    """A list is met where any of its conditions is, in whatever order."""
    each = [passes({"company_id": condition}, company_id=value) for condition in conditions]
    assert passes({"company_id": conditions}, company_id=value) is any(each)
    assert passes({"company_id": conditions[::-1]}, company_id=value) is any(each)


@given(_tables, _values, _values, _values)
def test_law_of_fields(where: dict[str, Any], company: str | None, user: str | None, action: str | None) -> None:
    """All fields have to pass, and their order does not matter."""
    fields = {"company_id": company, "user_id": user, "action": action}
    each = [passes({name: condition}, **fields) for name, condition in where.items()]
    assert passes(where, **fields) is all(each)
    assert passes(dict(reversed(where.items())), **fields) is all(each)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "a.b", ""]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(_conditions, _json, st.sampled_from(["extra.a", "extra.a.b", "extra.a.a.b", "extra.b."]))
def test_law_of_what_senders_add(condition: Any, value: Any, name: str) -> None:
    """Whatever is in an unknown field, it meets a condition or its opposite."""
    extra = {"a": value, "b": value}
    assert passes({name: condition}, extra=extra) is not passes({name: {"not": condition}}, extra=extra)


@given(_texts)
def test_law_of_equality(text: str) -> None:
    """Every text meets itself as a condition, also where it has signs of a glob."""
    assert passes({"company_id": text}, company_id=text)
