"""The shape of a notification: paths and types, bounded whatever it holds."""

import json
from typing import Any

import pytest

from workers.drift.shape import MOST, masked, shape_of


def shape(value: Any) -> Any:
    """Return the shape of a value."""
    return shape_of(json.dumps(value).encode())


def test_paths_and_types() -> None:
    """Each field has a path and the type of its value; null is no value, and of a list the first value counts."""
    item = {
        "a": "x",
        "b": 1,
        "c": 1.5,
        "d": True,
        "e": None,
        "f": {"g": {"h": 1}},
        "i": [{"j": None}, {"j": "x"}, {"j": 5, "k": 1}, 3],
        "l": [],
    }
    assert shape(item) == {
        "a": "text",
        "b": "number",
        "c": "number",
        "d": "boolean",
        "e": "null",
        "f": "object",
        "f.g": "object",
        "f.g.h": "number",
        "i": "list",
        "i[].j": "text",
        "i[].k": "number",
        "l": "list",
    }


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"3", b"\xff", b'{"a": "' + b"x" * 70_000 + b'"}', b"[" * 50_000, b'{"origin": "reconcile"}'],
)
def test_what_nothing_is_learnt_from(raw: bytes) -> None:
    """What is no object, too large, or made by a sweep of ours says nothing of what senders send."""
    assert shape_of(raw) is None


def test_bounds() -> None:
    """Many fields, long names, deep nesting and names that command a terminal are cut."""
    assert len(shape({f"f{number}": 1 for number in range(3000)})) == MOST
    deep: Any = 1
    for _ in range(50):
        deep = {"d": deep}
    assert len(shape(deep)) == 6
    (name,) = shape({"x" * 1000: 1})
    assert len(name) == 101
    assert set(shape({"a\x1b[31m\n": 1})) == {"a?[31m?"}
    assert set(shape_of(b'{"\\ud800": 1}') or {"?"}) == {"?"}


def test_a_sample_has_no_value() -> None:
    """A sample shows the fields and nothing that was in them, not even whose it is."""
    item = {"companyId": "510", "n": 5, "e": None, "lines": [{"sku": "A"}, {"sku": "B"}], "f": {"g": True}}
    assert json.loads(masked(json.dumps(item).encode())) == {
        "companyId": "***",
        "n": "***",
        "e": None,
        "lines": [{"sku": "***"}],
        "f": {"g": "***"},
    }
    assert len(masked(json.dumps({f"field{number}": 1 for number in range(2000)}).encode())) == 601
