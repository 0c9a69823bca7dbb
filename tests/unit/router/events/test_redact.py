"""How raw bodies are shown to people: the structure and what identifies the event, and no other value."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from config.publishers import Dialect
from router.events.event import Event
from router.events.redact import MASK, redacted, redacted_fields

CANARY = "canary-71c0"

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_NESTED = st.recursive(_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=60)


def shown(value: Any) -> Any:
    """Return what is shown of a body, read again."""
    return json.loads(redacted(json.dumps(value).encode()))


def test_identity_stays_and_the_rest_is_masked() -> None:
    """Of an item one sees which event it is and of which company; other values are masked, whatever their kind."""
    item = {
        "NotificationId": "AB-1",
        "event": "customer_changed",
        "contextId": 51,
        "relativeResourceUri": "v1/customer/5",
        "timeStamp": 638974335577900000,
        "resourceUri": "https://host/v1/customer/5?token=x",
        "UserId": "somebody",
        "name": "Ola",
        "credit": 1000.5,
        "vip": True,
        "note": None,
    }
    identity = ("NotificationId", "event", "contextId", "relativeResourceUri", "timeStamp", "note")
    assert shown(item) == {name: value if name in identity else MASK for name, value in item.items()}


def test_each_item_of_a_list_shows_its_identity() -> None:
    """A body of several items is shown like each of them alone; what is no object is masked."""
    assert shown([{"event": "a_b", "x": 1}, "text", 7]) == [{"event": "a_b", "x": MASK}, MASK, MASK]


def test_identity_is_the_item_s_own() -> None:
    """A field deeper in the item may have the name of an identity and mean something else: it is masked."""
    nested = {"customer": {"companyId": "51", "event": ["wedding"]}, "event": {"name": "x"}, "action": ["y"]}
    assert shown(nested) == {
        "customer": {"companyId": MASK, "event": [MASK]},
        "event": {"name": MASK},
        "action": [MASK],
    }


@pytest.mark.parametrize("field", [field for field, names in Dialect() if names and field in Event.model_fields])
def test_an_event_shows_what_its_body_shows(field: str) -> None:
    """A field of the event is masked where the value that it was read from is, and shown where that is."""
    (name, *_) = getattr(Dialect(), field)
    assert redacted_fields({field: "seen"}) == {field: shown({name: "seen"})[name]}
    assert redacted_fields({field: None}) == {field: None}


def test_every_name_of_an_identity_is_known() -> None:
    """All the names the packaged dialect gives the event, its id, company and path are shown."""
    dialect = Dialect()
    names = (*dialect.event, *dialect.notification_id, *dialect.company_id, *dialect.tenant_id, *dialect.relative_path)
    item = dict.fromkeys(names, "seen")
    assert shown(item) == item


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe", b"name=Ola", b'{"a":', b"[" * 100_000, b"1" * 5000, b"\x00"])
def test_what_is_no_json_is_told_by_length_and_digest(raw: bytes) -> None:
    """Nothing of such a body is shown, for where its values are cannot be known."""
    assert redacted(raw).startswith(f"not readable as JSON: {len(raw)} bytes, sha256 ")


def test_a_byte_order_mark_hides_nothing() -> None:
    """Ingress reads a body behind a byte order mark, and so does this."""
    assert redacted(b'\xef\xbb\xbf{"event": "a_b"}') == '{"event": "a_b"}'


def test_it_is_bounded() -> None:
    """Long values, wide objects and deep nesting are cut, and so is it all: nobody's screen is flooded."""
    assert len(redacted(json.dumps({"event": "e" * 10_000}).encode())) < 300
    assert redacted(json.dumps({str(n): n for n in range(1000)}).encode()).endswith(", …}")
    deep = b'{"a":' * 40 + b"1" + b"}" * 40
    assert redacted(deep).count("{") == 9
    assert len(redacted(json.dumps([{"k" * 100: 1}] * 50).encode())) == 4001


def test_no_terminal_is_commanded() -> None:
    """Names and shown values come from senders: escape sequences and overrides of direction are written out."""
    text = redacted(json.dumps({"\x1b[2J": 1, "event": "a\u202eb\U000e0001"}).encode())
    assert text == r'{"\u001b[2J": "***", "event": "a\u202eb\udb40\udc01"}'


@given(st.binary())
@example(b'{"event":"\\ud800"}')
@example(b'{"event":18446744073709551616}')
def test_never_raises_and_always_prints(raw: bytes) -> None:
    """Any bytes give a printable text of bounded length."""
    text = redacted(raw)
    assert text.isprintable()
    assert len(text) <= 4001


@given(_NESTED, st.sampled_from(["name", "event ", "Amount", "userId", "resourceUri"]))
def test_no_value_beyond_the_identity_shows(value: Any, name: str) -> None:
    """Whatever stands around it, a value under another name is never in what is shown."""
    item = {"before": value, name.replace("event ", "events"): f"x{CANARY}x", "after": [value, {"event": CANARY}]}
    text = redacted(json.dumps([item, item]).encode())
    assert CANARY not in text
