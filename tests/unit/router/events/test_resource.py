"""Rules of records: one name however a link writes it, never another record, never a host."""

import base64
import json
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from config.publishers import Paths
from router.events.catalogue import Catalogue
from router.events.event import Event
from router.events.fields import Layout
from router.events.identify import Identified, identify
from router.events.normalise import normalise
from router.events.resource import MAX_PATH, Records, Resource, is_safe

FINANCIAL, SALES = "visma-net-financial", "visma-net-erp-salesorderservice"
NOW = datetime(2025, 11, 1, tzinfo=UTC)
RESERVED = ":/?#[]@&*+;"
NUMBERS = st.text(RESERVED + "%=(),.-_ b64A1å€", min_size=1, max_size=12).filter(
    lambda number: is_safe(number) and not re.fullmatch(r"b64\(.*\)", number)
)
BEFORE = st.sampled_from(
    [
        *("", "/", "api/", "/API/", "https://api.finance.visma.net/", "HTTPS://user:pass@[::1]:8443/api/", " "),
        *("https://integration.visma.net/API/controller/api/", "http://h.example/0921001005/api/", "/5100001/"),
    ]
)
COLLECTIONS = st.sampled_from(["inventory", "Customer", "salesInvoice"])
"""One whose number takes all that is left, and two that the file says nothing of."""


@pytest.fixture(scope="module")
def records(catalogue: Catalogue) -> Records:
    """Return what reads the links of Financial."""
    return Layout.of(catalogue.publishers[FINANCIAL]).records


def b64(number: str) -> str:
    """Write a number as the interface reads it."""
    return f"b64({base64.urlsafe_b64encode(number.encode()).decode().rstrip('=')})"


def ways(number: str) -> list[str]:
    """Return every way to write a number in a path but as it is."""
    padded = base64.urlsafe_b64encode(number.encode()).decode()
    whole = "".join(f"%{byte:02X}" for byte in number.encode())
    encoded = [quote(number, safe=""), whole, whole.lower(), b64(number), f"b64({padded})", quote(b64(number), safe="")]
    return [*encoded, quote(f"b64({padded})", safe="")]


def fetched(path: str) -> tuple[str, ...]:
    """Return which record an interface of version 1 answers for a path: collection and parts of the key."""
    split = urlsplit(urljoin("https://api.example/base/", path))
    assert (split.scheme, split.netloc, split.query, split.fragment) == ("https", "api.example", "", ""), path
    base, version, *parts = split.path.removeprefix("/").split("/")
    assert (base, version) == ("base", "v1"), path
    decoded = [unquote(part) for part in parts]
    return tuple(
        base64.urlsafe_b64decode(found[1] + "==").decode() if (found := re.fullmatch(r"b64\((.+)\)", part)) else part
        for part in decoded
    )


def event_of(catalogue: Catalogue, item: dict[str, Any], publisher: str = FINANCIAL) -> Event:
    """Return the event of an item."""
    [found] = identify(catalogue, publisher, json.dumps(item).encode(), "header")
    assert isinstance(found, Identified)
    return normalise(catalogue, found.stream, found.id, found.raw, NOW)


@given(COLLECTIONS, NUMBERS, BEFORE)
@example("inventory", RESERVED, "")
@example("inventory", "50%", "api/")
@example("inventory", "%23", "")
@example("Customer", "A//1", "https://h.example/api/")
@example("Customer", "A 1 ", "")
@example("inventory", "https://evil.example/", "/")
@example("inventory", "/x", "")
@example("inventory", "x/", "")
def test_one_name_however_it_is_written(records: Records, collection: str, number: str, before: str) -> None:
    """A record has one name, number and path, which fetches it, whatever way a link writes its number."""
    name = f"{collection.lower()}/{number}"
    links = [(f"{before}v1/{collection}/{written}", said) for written in ways(number) for said in (None, number)]
    links.append((f"{before}v1/{collection}/{number}", number))  # as it is, and the sender says where it begins
    for link, said in links:
        found = records.read(link, said)
        assert found is not None, link
        assert (found.name, found.id) == (name, number), link
        assert fetched(found.path) == (collection, number), link


KEYS = st.tuples(st.just("inventory"), NUMBERS) | st.tuples(
    st.sampled_from(["salesorder", "supplierinvoice", "dimension"]), NUMBERS, NUMBERS
)


@given(KEYS, KEYS, st.data())
@example(("salesorder", "S/O", "1"), ("salesorder", "S", "O/1"), None)
@example(("salesorder", "S%2FO", "1"), ("salesorder", "S/O", "1"), None)
@example(("inventory", "A"), ("inventory", "A#1"), None)
def test_no_two_records_have_one_name(
    records: Records, first: tuple[str, ...], second: tuple[str, ...], data: st.DataObject | None
) -> None:
    """Different keys have different names, whatever way each is written."""
    names, paths = [], []
    for collection, *key in (first, second):
        parts = [data.draw(st.sampled_from(ways(part))) if data else b64(part) for part in key]
        found = records.read("/".join(["v1", collection, *parts]))
        assert found is not None
        assert fetched(found.path) == (collection, *key)
        names.append(found.name)
        paths.append(found.path)
    assert (names[0] == names[1]) == (paths[0] == paths[1]) == (first == second)


ANY_LINK = st.text(RESERVED + "%2eE\\.fb64()v1apihtscompany \n\x00\u202e0", max_size=40)
PIECES = [
    "https://",
    "HTTP:",
    "//",
    "/",
    "\\",
    "..",
    ".",
    "%2e",
    "%2F",
    "%5c",
    "api/",
    "v1/",
    "inventory/",
    "evil.example",
]
BUILT = st.lists(st.sampled_from([*PIECES, "@", ":80", "[::1]", "?", "#", ";", "b64(Li4)", "5", " ", "\r"]), max_size=9)


@given(ANY_LINK | BUILT.map("".join), st.none() | ANY_LINK, st.sampled_from(["b64", "percent"]))
def test_no_link_names_a_host_or_leaves_its_base(link: str, said: str | None, escape: Any) -> None:
    """Whatever the link, it is refused, or its path stays below any base, however often somebody decodes it."""
    found = Records(Paths(escape=escape, records=("inventory/{number}", "b/{x}/{y}"))).read(link, said)
    path = found.path if found else "x"
    for _ in range(3):
        joined = urlsplit(urljoin("https://api.example/base/", path))
        assert (joined.scheme, joined.netloc) == ("https", "api.example")
        assert joined.path.startswith("/base/")
        assert path.isprintable()
        path = unquote(path) if escape == "percent" else path
        path = path.replace("?", "_").replace("#", "_").replace("//", "/") if escape == "percent" else path
    if found:
        assert not {"?", "#", "\\", " "} & {*found.path}
        assert ("/" in found.name) == (found.id is not None)


@pytest.mark.parametrize(
    ("link", "said", "path", "name", "id_"),
    [
        ("v1/inventory/A#1", "A#1", "v1/inventory/b64(QSMx)", "inventory/A#1", "A#1"),
        ("v1/inventory/A#1", None, "v1/inventory/b64(QSMx)", "inventory/A#1", "A#1"),
        ("v1/inventory/A?1", None, "v1/inventory/b64(QT8x)", "inventory/A?1", "A?1"),
        ("api/v1/inventory/A%231", None, "v1/inventory/b64(QSMx)", "inventory/A#1", "A#1"),
        ("api/v1/inventory/b64(QSMx)", None, "v1/inventory/b64(QSMx)", "inventory/A#1", "A#1"),
        ("api/v1/inventory/b64(QQ==)", None, "v1/inventory/A", "inventory/A", "A"),
        ("v1/inventory/B64(QSMx)", None, "v1/inventory/b64(QSMx)", "inventory/A#1", "A#1"),
        ("v1/inventory/b64(!)", None, "v1/inventory/b64(YjY0KCEp)", "inventory/b64(!)", "b64(!)"),
        ("v1/inventory/b64(_w)", None, "v1/inventory/b64(YjY0KF93KQ)", "inventory/b64(_w)", "b64(_w)"),
        ("v1/inventory/A/1", None, "v1/inventory/b64(QS8x)", "inventory/A/1", "A/1"),
        ("v1/inventory/A/1", "A/1", "v1/inventory/b64(QS8x)", "inventory/A/1", "A/1"),
        ("v1/inventory/A/1", "1", "v1/inventory/A/1", "inventory/A/1", "1"),
        ("v1/inventory/A%2F1", None, "v1/inventory/b64(QS8x)", "inventory/A/1", "A/1"),
        ("v1/inventory/A/", None, "v1/inventory/b64(QS8)", "inventory/A/", "A/"),
        ("v1/inventory/A/", "A", "v1/inventory/A", "inventory/A", "A"),
        ("v1/inventory//A", None, "v1/inventory/b64(L0E)", "inventory//A", "/A"),
        ("v1/inventory/A.", None, "v1/inventory/b64(QS4)", "inventory/A.", "A."),
        ("v1/inventory/50%", None, "v1/inventory/b64(NTAl)", "inventory/50%", "50%"),
        ("v1/inventory/50%25", None, "v1/inventory/b64(NTAl)", "inventory/50%", "50%"),
        ("v1/inventory/50%25", "50%25", "v1/inventory/b64(NTAlMjU)", "inventory/50%25", "50%25"),
        ("v1/inventory/%FF", None, "v1/inventory/b64(JUZG)", "inventory/%FF", "%FF"),
        ("v1/inventory/A 1", None, "v1/inventory/b64(QSAx)", "inventory/A 1", "A 1"),
        ("v1/inventory/å", None, "v1/inventory/b64(w6U)", "inventory/å", "å"),
        ("v1/inventory/internal/77", None, "v1/inventory/internal/77", "inventory/internal/77", "77"),
        ("v1/inventory/", None, "v1/inventory", "inventory", None),
        ("v1/inventory", "A", "v1/inventory", "inventory", None),
        ("v1/customer/A:5", None, "v1/customer/b64(QTo1)", "customer/A:5", "A:5"),
        ("v1/customer/A/1", "A/1", "v1/customer/b64(QS8x)", "customer/A/1", "A/1"),
        ("v1/customer/A/1", None, "v1/customer/A/1", "customer/A/1", "1"),
        ("v1/customer/5/contact/6", None, "v1/customer/5/contact/6", "customer/5/contact/6", "6"),
        ("v1/customer/5/", None, "v1/customer/5", "customer/5", "5"),
        ("v1/customer/5?x=1", None, "v1/customer/b64(NT94PTE)", "customer/5?x=1", "5?x=1"),
        ("api/v1/salesorder/SO/000223", None, "v1/salesorder/SO/000223", "salesorder/SO/000223", "000223"),
        ("v1/salesorder/SO/000223", "SO/000223", "v1/salesorder/SO/000223", "salesorder/SO/000223", "000223"),
        ("v1/salesorder/SO/000223", "000223", "v1/salesorder/SO/000223", "salesorder/SO/000223", "000223"),
        ("v1/salesorder/000223", None, "v1/salesorder/000223", "salesorder/000223", "000223"),
        ("v1/salesorder/S%2FO/1", None, "v1/salesorder/b64(Uy9P)/1", "salesorder/S%2FO/1", "1"),
        (
            "v1/supplierInvoice/Invoice/A/2",
            None,
            "v1/supplierInvoice/Invoice/b64(QS8y)",
            "supplierinvoice/Invoice/A/2",
            "A/2",
        ),
        ("v1/dimension/ID/1/V#2", None, "v1/dimension/ID/1/b64(ViMy)", "dimension/ID/1/V#2", "V#2"),
        ("v1/background/ID", None, "v1/background/ID", "background/ID", "ID"),
        ("v1/background/ID/content", None, "v1/background/ID", "background/ID", "ID"),
        ("v1/background/ID/content/", None, "v1/background/ID", "background/ID", "ID"),
        ("v1/inventory/b64(QSMx)/", None, "v1/inventory/b64(QSMx)", "inventory/A#1", "A#1"),
        ("v1/inventory/b64%28QSMx%29/", None, "v1/inventory/b64(QSMx)", "inventory/A#1", "A#1"),
        ("v1/salesorder/SO/b64(QSMx)/", None, "v1/salesorder/SO/b64(QSMx)", "salesorder/SO/A#1", "A#1"),
        ("customer/5", None, "customer/5", "customer/5", "5"),
        ("V12/Customer/Ab", None, "V12/Customer/Ab", "customer/Ab", "Ab"),
        ("v1/customer/" + "5" * 900, None, "v1/customer/" + "5" * 900, "customer/" + "5" * 900, "5" * 900),
    ],
)
def test_read(records: Records, link: str, said: str | None, path: str, name: str, id_: str | None) -> None:
    """Nothing is cut off, the number begins where the sender or the publisher's file says, and the path fetches it."""
    assert records.read(link, said) == Resource(path, name, id_, None)


@pytest.mark.parametrize(
    ("link", "name", "company"),
    [
        ("https://api.finance.visma.net/v1/account/3000", "account/3000", None),
        ("HTTP://api.finance.visma.net/v1/account/3000", "account/3000", None),
        ("https://user:secret@evil.example:8443/v1/account/3000", "account/3000", None),
        ("https://[2001:db8::1]:443/v1/account/3000", "account/3000", None),
        ("https://finance.visma.net/0921001005/api/v1/customer/1", "customer/1", "0921001005"),
        ("https://finance.visma.net/0921001005/v1/customer/1", "customer/1", "0921001005"),
        ("0921001005/api/v1/customer/1", "customer/1", "0921001005"),
        ("/0921001005/API/controller/api/v1/customer/1", "customer/1", "0921001005"),
        ("https://integration.visma.net/API/controller/api/v1/customer/1", "customer/1", None),
        ("5100001/customer/1", "5100001/customer/1", None),
        ("abc/v1/customer/1", "abc/v1/customer/1", None),
    ],
)
def test_link(records: Records, link: str, name: str, company: str | None) -> None:
    """Hosts are dropped with all that belongs to them; digits before the interface are the company."""
    found = records.read(link)
    assert found is not None
    assert (found.name, found.company) == (name, company)


@pytest.mark.parametrize(
    "link",
    [
        *("..", "../x", "v1/../x", "v1/..", "v1/./x", "v1/..;/x", "v1/%2e%2E/x", "v1/..%2fx", "v1/%252e%252e/x"),
        *("v1/x/..", "v1/x/.", "v1/x/%2e%2e", "v1/x/a%2F..%2Fb", "v1/x/b64(Li4)", "v1/x/%252e%252e", "v1/x/../y"),
        *(
            "v1/x%5cy",
            "v1/x\\y",
            "v1/x/a%5cb",
            "v1/x/b64(YVxi)",
            "\\\\evil.example\\x",
            "/\\evil.example",
            "https:\\\\h/v1/x/1",
        ),
        *(
            "v1/x%00",
            "v1/x\ny",
            "v1/x/5\r\nX: y",
            "v1/x/%0d%0a",
            "v1/x/\x7f",
            "v1/x/\u202e5",
            "v1/x/b64(AA)",
            "\tv1/x/1",
        ),
        *("//evil.example/x", "///", "//", "/ /evil.example", "v1//x", "api//x", "https://h//v1/x/1", "http:///v1/x/1"),
        *("https:/evil.example/v1/x", "https:evil.example", "api/https:/evil.example", "javascript:alert(1)"),
        *("file:///etc/passwd", "ftp://h.example/v1/x/1", "//user@evil.example/v1/x/1", "https://h.example"),
        *("https://h.example?v1/x/1", "https://h.example#/v1/x/1", "https://h h/v1/x/1", "https://"),
        *("?x", "#x", "v1?x", "v1/x?y/1", "v1%2Fx%2F1", "%2F%2Fevil.example/x", "", " ", "/", "v1", "v1/", "api/"),
        *("v1/x/a//b", "v1/x//5", "v1/salesorder//1", "v" * (MAX_PATH + 1), "v1/x/" + "#" * MAX_PATH),
        *("v1/x/" + "å" * 800, f"https://{'h' * 5000}/v1/x/1"),
    ],
)
def test_refused(catalogue: Catalogue, records: Records, link: str) -> None:
    """What could leave the base it is joined to or be read in two ways is no resource, and is kept as it was sent."""
    assert records.read(link) is None
    for field in ("relativeResourceUri", "entityLocation", "resourceUri", "stateLocation"):
        event = event_of(catalogue, {"event": "customer_changed", field: link})
        assert (event.resource, event.resource_path, event.resource_id) == (None, None, None)
        assert event.extra == ({field: link} if link else {})


@pytest.mark.parametrize(
    ("said", "link", "resource", "path", "id_"),
    [
        ("A%231", "v1/inventory/A#1", "inventory/A#1", "v1/inventory/b64(QSMx)", "A#1"),
        ("A%231", "v1/inventory/b64(QSMx)", "inventory/A#1", "v1/inventory/b64(QSMx)", "A#1"),
        ("b64(QSMx)", "v1/inventory/A#1", "inventory/A#1", "v1/inventory/b64(QSMx)", "A#1"),
        ("b64(QSMx)", "v1/inventory/b64(QSMx)", "inventory/A#1", "v1/inventory/b64(QSMx)", "A#1"),
        ("b64(QSMx)", None, "inventory_item/A#1", None, "A#1"),
        ("6", "v1/inventory/A#1", "inventory/A#1", "v1/inventory/b64(QSMx)", "6"),
        ("..", "v1/inventory/..", None, None, ".."),
        ("A#1", "//evil.example/v1/inventory/A", "inventory_item/A#1", None, "A#1"),
    ],
)
def test_what_the_sender_says_twice(
    catalogue: Catalogue, said: str, link: str | None, resource: str | None, path: str | None, id_: str
) -> None:
    """The number is what the sender says it is, however it writes that, and the resource is the one of the link."""
    item = {"event": "inventoryitem_changed", "resourceId": said, "relativeResourceUri": link}
    event = event_of(catalogue, item)
    assert (event.resource, event.resource_path, event.resource_id) == (resource, path, id_)


@pytest.mark.parametrize(
    ("item", "company"),
    [
        ({"resourceUri": "https://finance.visma.net/0921001005/api/v1/customer/1"}, "0921001005"),
        ({"resourceUri": "https://finance.visma.net/0921001005/api/v1/customer/1", "contextId": "7"}, "7"),
        (
            {"resourceUri": "https://h/0921001005/api/v1/customer/1", "relativeResourceUri": "v1/customer/1"},
            "0921001005",
        ),
        ({"resourceUri": "https://h/9/api/v1/customer/1", "entityLocation": "8/api/v1/customer/1"}, "8"),
        ({"relativeResourceUri": "v1/customer/1"}, None),
    ],
)
def test_company_of_a_link(catalogue: Catalogue, item: dict[str, Any], company: str | None) -> None:
    """The company that a link names is that of the event where no field says it; it is no part of the resource."""
    event = event_of(catalogue, {"event": "customer_changed"} | item)
    assert (event.company_id, event.resource, event.resource_path) == (company, "customer/1", "v1/customer/1")


@pytest.mark.parametrize(
    "location", [{"stateLocation": "{}"}, {"contentLocation": "{}"}, {"contentLocation": "{}/content"}]
)
@pytest.mark.parametrize("event", [{"event": "BACKGROUND_API_RESPONSE"}, {}, {"event": None}, {"event": " "}])
def test_background_answer(catalogue: Catalogue, event: dict[str, Any], location: dict[str, str]) -> None:
    """The answer of the Background API is known by its name or its shape, and its location is its resource."""
    link = "https://api.finance.visma.net/v1/background/0a1b"
    item = {**event, "reference": "r", "statusCode": 200} | {key: value.format(link) for key, value in location.items()}
    found = event_of(catalogue, item)
    assert (found.type, found.wire_event) == ("background_api_operation_response_ready", "BACKGROUND_API_RESPONSE")
    assert (found.resource, found.resource_path, found.resource_id) == ("background/0a1b", "v1/background/0a1b", "0a1b")
    assert (found.extra["reference"], found.extra["statusCode"]) == ("r", 200)


@pytest.mark.parametrize(
    "item", [{"reference": "r", "statusCode": 200}, {"stateLocation": None}, {"contentLocation": "v1/background/1"}]
)
def test_other_shapes_are_no_event(catalogue: Catalogue, item: dict[str, Any]) -> None:
    """What has no event name and not all fields of a shape is quarantined."""
    [found] = identify(catalogue, FINANCIAL, json.dumps(item).encode(), None)
    assert not isinstance(found, Identified)


def test_a_shape_is_that_of_one_publisher(catalogue: Catalogue) -> None:
    """What is an event by its shape for one publisher is none for another."""
    [found] = identify(catalogue, SALES, b'{"stateLocation": "v1/background/1"}', None)
    assert not isinstance(found, Identified)


def test_sales_order_of_the_service(catalogue: Catalogue) -> None:
    """An order of the service has a type and a number, and its own version of the interface."""
    item = {"event": "SALESORDER_UPDATED", "resourceUri": "https://salesorder.visma.net/api/v3/SalesOrders/SO/000223"}
    event = event_of(catalogue, item, SALES)
    expected = ("salesorders/SO/000223", "v3/SalesOrders/SO/000223", "000223")
    assert (event.resource, event.resource_path, event.resource_id) == expected


def test_percent_encoding_for_other_publishers() -> None:
    """A publisher whose interface does not know `b64(…)` has its numbers percent-encoded, and `b64(…)` is a number."""
    records = Records(Paths(escape="percent"))
    assert records.read("v1/thing/A%231") == Resource("v1/thing/A%231", "thing/A#1", "A#1", None)
    assert records.read("v1/thing/b64(QQ)") == Resource("v1/thing/b64%28QQ%29", "thing/b64(QQ)", "b64(QQ)", None)


def test_long_links_are_not_kept(records: Records) -> None:
    """What is longer than any path is read each time anew, so that it cannot fill the memory."""
    before = records._known.cache_info().currsize
    assert records.read(f"https://{'h' * MAX_PATH}/v1/customer/longest-host") is not None
    assert records.read("v1/customer/1", "1" * (MAX_PATH + 1)) is not None
    assert records._known.cache_info().currsize == before
