"""Rules of identifying: how a body is cut, what is an event, and which id it has."""

import json
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.events.catalogue import Catalogue
from router.events.fields import MAX_DEPTH
from router.events.identify import Identified, Unreadable, identify

FINANCIAL = "visma-net-financial"
CUSTOMER = f"{FINANCIAL}/customer_changed"
CHANGED = b"""{
    "NotificationId": "E1694xxxxxxxx907ff",
    "contextId": "5xxxxx",
    "event": "customer_changed",
    "action": "UPDATED",
    "resourceId": "55555",
    "resourceUri": "https://api.finance.visma.net/v1/customer/55555",
    "relativeResourceUri": "v1/customer/55555",
    "timeStamp": 638974335577900000,
    "ApiClientId": null,
    "TenantId": "f6cd9xxxxxxxxxxxxx6183",
    "IsScheduler": false,
    "ConnectId": "18eb1xxxxxxxxxxxx40666"
}"""
UPDATED = b"""{
    "event": "Customer_Updated",
    "companyId": "5xxxxx",
    "entityId": "567xxxxxxxxxxxxxxxxxxxxxxxxxxff2",
    "notificationId": "e1691481xxxxxxxxxxxxxxxxxxxx07ff",
    "entityLocation": "api/v1/customer/55555",
    "erpEvent": "1",
    "erpDocumentStatus": null,
    "documentStatus": null,
    "UserId": "3363881",
    "timeStamp": "638974335577900000",
    "apiClientId": null,
    "TenantId": "f6cd9xxxxxxxxxxxxx6183",
    "ConnectId": "18eb1xxxxxxxxxxxx40666",
    "ischeduler": false
}"""
PLAIN = b'{"event":"customer_changed","notificationId":"a"}'


def digest(data: bytes) -> str:
    """Return the id that stands for these bytes."""
    return f"sha256:{sha256(data).hexdigest()}"


def nested(depth: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    """Return an event of objects or lists within each other, this deep."""
    return b'{"event":"x","v":' + opening * (depth - 1) + closing * (depth - 1) + b"}"


def test_samples_of_the_documentation(catalogue: Catalogue) -> None:
    """Both dialects are read: the stream by the event's name, the id in lower case, the bytes as they came."""
    assert identify(catalogue, FINANCIAL, CHANGED, None) == [Identified(CUSTOMER, "e1694xxxxxxxx907ff", CHANGED)]
    assert identify(catalogue, FINANCIAL, UPDATED, None) == [
        Identified(f"{FINANCIAL}/customer_updated", "e1691481xxxxxxxxxxxxxxxxxxxx07ff", UPDATED)
    ]


@pytest.mark.parametrize(
    "body",
    [
        b" \r\n\t" + PLAIN + b"\n",
        b"\xef\xbb\xbf" + PLAIN,
        b"\xef\xbb\xbf \n" + PLAIN,
        b"[" + PLAIN + b"]",
        b"\xef\xbb\xbf [\n " + PLAIN + b" \n] ",
    ],
)
def test_raw_is_the_item_alone(catalogue: Catalogue, body: bytes) -> None:
    """A byte order mark, white space around and the array are no part of an item."""
    assert identify(catalogue, FINANCIAL, body, None) == [Identified(CUSTOMER, "a", PLAIN)]


def test_array_is_cut(catalogue: Catalogue) -> None:
    """Every item of an array is judged alone, keeps its bytes and its place; the unreadable do not harm the rest."""
    items = [CHANGED, b"5", b'{"event":7}', b'{"event": "no such thing", "notificationId":"b"}', b'{"a":"\xff"}', PLAIN]
    found = identify(catalogue, FINANCIAL, b"[" + b" ,\n".join(items) + b"]", "unused")
    assert [item.raw for item in found] == items
    assert [getattr(item, "stream", None) or item.reason for item in found] == [
        CUSTOMER,
        "not a JSON object",
        "no event name",
        f"{FINANCIAL}/unlisted",
        "not valid UTF-8",
        CUSTOMER,
    ]


def test_empty_array(catalogue: Catalogue) -> None:
    """An empty array has no items."""
    assert identify(catalogue, FINANCIAL, b"[]", "x") == identify(catalogue, FINANCIAL, b" [ ] ", None) == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty body"),
        (b"\xef\xbb\xbf \n", "empty body"),
        (b"\xef\xbb\xbf\xef\xbb\xbf" + PLAIN, "not valid JSON"),
        (b"hello", "not valid JSON"),
        (b"event=customer_changed", "not valid JSON"),
        (b"<event/>", "not valid JSON"),
        (b'"customer_changed"', "not a JSON object"),
        (b"1", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"{", "not valid JSON"),
        (PLAIN + PLAIN, "not valid JSON"),
        (PLAIN + b"\x00", "not valid JSON"),
        (PLAIN.decode().encode("utf-16"), "not valid UTF-8"),
        (b'{"event":"x",}', "not valid JSON"),
        (b"{'event':'x'}", "not valid JSON"),
        (b'{"event":"x","v":NaN}', "not valid JSON"),
        (b'{"event":"x","v":1e999}', "not valid JSON"),
        (b'{"event":"x","v":01}', "not valid JSON"),
        (b'{"event":"x","v":' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"event":"x","v":"\x01"}', "not valid JSON"),
        (b'{"event":"x","v":"\\ud800"}', "not valid JSON"),
        (b'{"event":"x","v":"\xff"}', "not valid UTF-8"),
        (b'{"event":"x","\xed\xa0\x80":1}', "not valid UTF-8"),
        (b"{}", "no event name"),
        (b'{"notificationId":"a"}', "no event name"),
        (b'{"event":null}', "no event name"),
        (b'{"event":5}', "no event name"),
        (b'{"event":["customer_changed"]}', "no event name"),
        (b'{"event":""}', "no event name"),
        (b'{"event":" \\t\\u00a0"}', "no event name"),
        (b'{"event":"' + b"x" * 201 + b'"}', "event name too long"),
        (nested(MAX_DEPTH + 1), "nested too deeply"),
        (nested(100), "nested too deeply"),
        (nested(100, b'{"a":', b"}").replace(b":}", b":1}"), "nested too deeply"),
        (nested(100_000), "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[" + PLAIN, "not valid JSON"),
        (b"[" + PLAIN + b",]", "not valid JSON"),
        (b"[" + PLAIN + b' {"a":1}]', "not valid JSON"),
    ],
)
def test_unreadable(catalogue: Catalogue, body: bytes, reason: str) -> None:
    """What is no event is handed on whole, with one of a few reasons that tell nothing of it."""
    [found] = identify(catalogue, FINANCIAL, body, "x")
    assert type(found) is Unreadable
    assert found.reason == reason
    assert found.raw in (body, body.removeprefix(b"\xef\xbb\xbf").strip())


@pytest.mark.parametrize(
    "body",
    [
        nested(MAX_DEPTH),
        b'{"event":"' + b"x" * 200 + b'"}',
        b'{"event":"x","v":"' + b"[{" * 100 + b'"}',
        b'{"event":"x","v":[' + b"[]," * 100 + b"{}]}",
        b'{"event":"x","v":' + b"9" * 4300 + b"}",
        b'{"event":"\\u0000","":1}',
        b'{"event":5,"Event":"x"}',
        b'{"event":"a","event":"x"}',
        b'{"e-v-e-n-t":"x"}',
    ],
)
def test_odd_but_readable(catalogue: Catalogue, body: bytes) -> None:
    """What is within the limits is an event, however odd; a name the catalogue does not have is unlisted."""
    assert identify(catalogue, FINANCIAL, body, "N-1 ") == [Identified(f"{FINANCIAL}/unlisted", "n-1", body)]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ('"NotificationId":"A-b"', "a-b"),
        ('"Notification_Id":" A "', "a"),
        ('"NOTIFICATION-ID":17', "17"),
        ('"notificationId":123456789012345678901234567890', "123456789012345678901234567890"),
        ('"notificationId":0', "0"),
        ('"notificationId":"a","NotificationId":"b"', "a"),
        ('"NotificationId":"b","notificationId":"a"', "b"),
        ('"NotificationId":null,"notificationId":"a"', "a"),
        ('"NotificationId":"  ","notificationId":"a"', "a"),
        ('"NotificationId":"x","NotificationId":"y"', "y"),
        ('"notificationId":"ÅÄÖ"', "åäö"),
        ('"notificationId":"a b"', digest(b"a b")),
        ('"notificationId":"a\\u0000B"', digest(b"a\x00b")),
        ('"notificationId":"a\\u200bb"', digest("a\u200bb".encode())),
        (f'"notificationId":"{"A" * 128}"', "a" * 128),
        (f'"notificationId":"{"A" * 129}"', digest(b"a" * 129)),
        ('"notificationId":null', "header"),
        ('"notificationId":""', "header"),
        ('"notificationId":true', "header"),
        ('"notificationId":1.5', "header"),
        ('"notificationId":["a"]', "header"),
        ('"id":"a"', "header"),
    ],
)
def test_id(catalogue: Catalogue, members: str, expected: str) -> None:
    """The id is the body's, cleaned and its case folded; the first usable of two; else the header's."""
    body = f'{{"event":"customer_changed",{members}}}'.encode()
    [found] = identify(catalogue, FINANCIAL, body, " HEADER ")
    assert found.id == expected


@pytest.mark.parametrize("header", [None, "", "  "])
def test_no_id_at_all(catalogue: Catalogue, header: str | None) -> None:
    """An item without any id is identified by its bytes, so that it is one notification when it comes again."""
    body = b'{"event":"customer_changed"}'
    assert identify(catalogue, FINANCIAL, body + b"\n", header)[0].id == digest(body)


def test_header_names_single_items_only(catalogue: Catalogue) -> None:
    """The header's id is that of a single item, in an array or not; it cannot be that of several."""
    one, two = b'{"event":"customer_changed"}', b'{"event":"customer_updated"}'
    assert identify(catalogue, FINANCIAL, b"[" + one + b"]", "h")[0].id == "h"
    found = identify(catalogue, FINANCIAL, b"[" + one + b"," + two + b"]", "h")
    assert [item.id for item in found] == [digest(one), digest(two)]


@pytest.mark.parametrize("header", ["a b", "\udcff", "x" * 200])
def test_odd_header(catalogue: Catalogue, header: str | None) -> None:
    """A header that cannot be an id as it is becomes its digest."""
    [found] = identify(catalogue, FINANCIAL, b'{"event":"customer_changed"}', header)
    assert found.id.startswith("sha256:")


def test_many_and_large_shapes(catalogue: Catalogue) -> None:
    """Items are read alike whether the shape of an item is new, known, forgotten or too large to keep."""
    for number in range(1100):
        body = b'{"k%d":1,"Event":"customer_changed","notificationId":"a"}' % number
        assert identify(catalogue, FINANCIAL, body, None) == [Identified(CUSTOMER, "a", body)]
    large = b'{"' + b"k" * 9000 + b'":1,"EVENT":"customer_changed","notificationid":"a"}'
    assert identify(catalogue, FINANCIAL, large, None) == [Identified(CUSTOMER, "a", large)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(body=st.binary() | st.text().map(str.encode), header=st.none() | st.text(st.characters()))
def test_any_bytes(catalogue: Catalogue, body: bytes, header: str | None) -> None:
    """No bytes make it raise, and none get lost."""
    _check(identify(catalogue, FINANCIAL, body, header))


@given(value=JSON, header=st.none() | st.text())
def test_any_json(catalogue: Catalogue, value: Any, header: str | None) -> None:
    """Every item of any JSON is either an event of a stream that exists or unreadable."""
    found = identify(catalogue, FINANCIAL, json.dumps(value).encode(), header)
    _check(found, catalogue.streams())
    items = value if isinstance(value, list) else [value]
    assert [msgspec.json.decode(item.raw) for item in found] == json.loads(json.dumps(items))


@given(position=st.integers(0, len(CHANGED) - 1), byte=st.integers(0, 255))
def test_any_damage(catalogue: Catalogue, position: int, byte: int) -> None:
    """A byte that went wrong makes an item unreadable or another one, never an error."""
    body = bytearray(CHANGED)
    body[position] = byte
    _check(identify(catalogue, FINANCIAL, bytes(body), None))


def _check(found: list[Identified | Unreadable], streams: tuple[str, ...] = ()) -> None:
    for item in found:
        if isinstance(item, Identified):
            assert not streams or item.stream in streams
            assert item.id.strip().lower() == item.id != ""
            assert " " not in item.id
            assert len(item.id) <= 128
        else:
            assert item.reason in {
                "empty body",
                "not valid JSON",
                "not valid UTF-8",
                "not a JSON object",
                "nested too deeply",
                "no event name",
                "event name too long",
                "too many items",
            }
