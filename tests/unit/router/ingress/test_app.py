"""Ingress over a listening socket: every answer it may give, and what is in the store afterwards."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import structlog
from aiohttp import ClientResponse, ClientSession
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from redis.exceptions import ConnectionError as RedisConnectionError
from support.stores import fake_store
from support.waiting import eventually

from config.settings import Settings
from router.events.catalogue import Catalogue
from router.events.identify import identify
from router.http.connection import Connection
from router.http.server import Server
from router.ingress.app import Ingress
from router.ingress.metrics import IngressMetrics
from router.intake.group_commit import Appender
from router.intake.writer import Batch
from router.store.client import Store, connect
from router.store.errors import StoreUnavailable
from router.store.keys import Keys
from router.store.windows import Windows

SLUG = "visma-net-financial"
SALES = "visma-net-erp-salesorderservice"
HEADER = "x-vwd-signature-v1"
SECRET = "dGVzdC1zZWNyZXQ="
CANARY = "canary-5f1c"
"""Is in every body, and so must not be in any log line."""

UNSPEAKABLE = {SECRET, CANARY}
"""What no log line may contain: the secret, every signature that was made, and what is in every body."""


def signed(body: bytes, secret: str = SECRET) -> str:
    """Return the signature of a body, made without the code under test."""
    signature = base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()
    UNSPEAKABLE.add(signature)
    return signature


def item(name: str, event: str = "customer_changed", **fields: Any) -> dict[str, Any]:
    """Return one notification."""
    return {"event": event, "notificationId": name, "note": CANARY, **fields}


def encode(*items: Any) -> bytes:
    """Return a body: one item as an object, several as an array."""
    return json.dumps(items[0] if len(items) == 1 else list(items)).encode()


@dataclass
class Answer:
    """One response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        """The body as JSON."""
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed


@dataclass
class Door:
    """A running ingress, and ways to talk to it."""

    port: int
    store: Store
    server: Server
    registry: CollectorRegistry
    session: ClientSession

    async def send(
        self,
        body: Any = b"",
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "POST",
        path: str = f"/webhooks/{SLUG}",
    ) -> Answer:
        """Send a request as it is."""
        url = f"http://127.0.0.1:{self.port}{path}"
        response: ClientResponse
        async with self.session.request(method, url, data=body, headers=headers) as response:
            return Answer(response.status, response.headers, await response.read())

    async def post(self, *items: Any, headers: Mapping[str, str] | None = None, **options: Any) -> Answer:
        """Send items, signed."""
        return await self.post_bytes(encode(*items), headers=headers, **options)

    async def post_bytes(self, body: bytes, headers: Mapping[str, str] | None = None, **options: Any) -> Answer:
        """Send a body, signed."""
        return await self.send(body, {HEADER: signed(body), **(headers or {})}, **options)

    @asynccontextmanager
    async def raw(self) -> AsyncIterator["Line"]:
        """Open a connection to write bytes to."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Line(reader, writer)
        finally:
            writer.close()

    async def keys(self) -> list[str]:
        """Return every key in the store."""
        found = [key.decode() async for key in self.store.client.scan_iter(match=f"{self.store.keys.prefix}:*")]
        return sorted(found)

    async def entries(self, key: str) -> list[dict[bytes, bytes]]:
        """Return the fields of a stream's entries."""
        return [fields for _, fields in await self.store.client.xrange(key)]

    async def ids(self, stream: str) -> list[str]:
        """Return the ids of the events in a stream."""
        return [entry[b"id"].decode() for entry in await self.entries(self.store.keys.events(stream))]

    def count(self, name: str, **labels: str) -> float:
        """Return the value of a metric."""
        return self.registry.get_sample_value(name, labels) or 0.0


@dataclass
class Line:
    """One raw connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)

    async def answer(self) -> Answer | None:
        """Return the next response; None when the connection ended."""
        try:
            async with asyncio.timeout(30):
                head = await self.reader.readuntil(b"\r\n\r\n")
                first, *lines = head.decode().rstrip().split("\r\n")
                headers = dict(line.split(": ", 1) for line in lines)
                body = await self.reader.readexactly(int(headers.get("Content-Length", 0)))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return Answer(int(first.split()[1]), headers, body)

    async def closed(self) -> bool:
        """Wait until the server ended the connection; return whether it sent nothing more."""
        async with asyncio.timeout(30):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True


def request(body: bytes, *, path: str = f"/webhooks/{SLUG}", extra: tuple[str, ...] = (), length: int = -1) -> bytes:
    """Return a signed request as bytes."""
    lines = (
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        f"{HEADER}: {signed(body)}",
        f"Content-Length: {len(body) if length < 0 else length}",
        *extra,
    )
    return "\r\n".join((*lines, "", "")).encode() + body


class Logged:
    """Everything that was logged, tracebacks included."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def __call__(self, _logger: object, _method: str, event: Any) -> Any:
        """Keep a line instead of printing it."""
        self.lines.append(dict(event))
        raise structlog.DropEvent

    def events(self) -> list[str]:
        """Return the names of what was logged."""
        return [line["event"] for line in self.lines]


@pytest.fixture(autouse=True)
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[Logged]:
    """Collect all that is logged; no line of any test here may contain a secret, a signature or a body."""
    before = structlog.get_config()
    collected = Logged()
    caplog.set_level(logging.DEBUG)
    structlog.configure(processors=[structlog.processors.format_exc_info, collected])
    yield collected
    structlog.configure(**before)
    text = repr(collected.lines) + caplog.text
    assert not [word for word in UNSPEAKABLE if word in text]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def slow_head(connection: Connection) -> bool:
    """Tell whether a connection waits for the rest of a request's headers."""
    return connection._deadline._late == connection._headers_late


@asynccontextmanager
async def running(store: Any, catalogue: Catalogue, *, appender: Any = None, **options: Any) -> AsyncIterator[Door]:
    """Run ingress on a free port of the loopback interface; `options` are settings of ingress."""
    top = {
        name: options.pop(name) for name in ("allow_unsigned", "hints", "secrets", "dedup_windows") if name in options
    }
    configured = Settings(
        redis={"url": "redis://127.0.0.1", "prefix": store.keys.prefix},
        ingress=options,
        **{"secrets": {SLUG: SECRET, SALES: "other-secret"}, **top},
    )
    limits = configured.ingress
    registry = CollectorRegistry()
    appender = appender or Appender(Batch(store, window=Windows.for_settings(configured)))
    ingress = Ingress(configured, catalogue, appender, IngressMetrics(registry), clock=lambda: 1_700_000_000.5)
    server = Server(ingress, limits)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    try:
        async with ClientSession() as session:
            port = listening.sockets[0].getsockname()[1]
            door = Door(port, store, server, registry, session)
            yield door
    finally:
        listening.close()
        server.close()
        await server.finish(5)
        server.abort()
        await listening.wait_closed()


@pytest.fixture
async def door(store: Store, catalogue: Catalogue) -> AsyncIterator[Door]:
    """Run ingress over each store."""
    async with running(store, catalogue) as door:
        yield door


@pytest.fixture
async def opened(catalogue: Catalogue) -> AsyncIterator[Callable[..., Any]]:
    """Run ingress over a fake store with settings of one's own."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(fake_store())

        async def open_door(**options: Any) -> Door:
            return await stack.enter_async_context(running(options.pop("store", store), catalogue, **options))

        yield open_door


def refused(answer: Answer, status: int) -> str:
    """Assert that an answer is a problem document with this status; return what it says."""
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    document = answer.document
    assert set(document) == {"type", "title", "status", "detail"}
    assert document["status"] == status
    assert SECRET not in document["detail"]
    return str(document["detail"])


# 202


async def test_one_notification_is_stored_as_it_came(door: Door) -> None:
    """202 says what became of the item; its entry has its id, when it came, what it means, and its own bytes."""
    body = b' {"event":"Customer_Changed",  "NotificationId":"ABC-1", "timeStamp":638974335577900000} '
    answer = await door.post_bytes(body)
    assert (answer.status, answer.body) == (202, b'{"accepted": 1, "duplicates": 0, "quarantined": 0}')
    assert answer.headers["Content-Type"] == "application/json"
    [entry] = await door.entries(door.store.keys.events(f"{SLUG}/customer_changed"))
    assert json.loads(entry.pop(b"event"))["type"] == "customer_changed"
    assert entry == {b"id": b"abc-1", b"at": b"1700000000500", b"raw": body.strip()}


async def test_a_notification_is_accepted_once(door: Door) -> None:
    """The same notification again is answered 202 as a duplicate and not stored again."""
    assert (await door.post(item("a"))).document["accepted"] == 1
    assert (await door.post(item("a"))).document == {"accepted": 0, "duplicates": 1, "quarantined": 0}
    assert await door.ids(f"{SLUG}/customer_changed") == ["a"]


async def test_a_notification_is_accepted_once_under_concurrency(door: Door) -> None:
    """However many requests bring the same notification at once, one of them is told that it was new."""
    answers = await asyncio.gather(*(door.post(item("a")) for _ in range(40)))
    assert sum(answer.document["accepted"] for answer in answers) == 1
    assert sum(answer.document["duplicates"] for answer in answers) == 39
    assert await door.ids(f"{SLUG}/customer_changed") == ["a"]


async def test_every_item_of_an_array_is_an_event_of_its_own(door: Door) -> None:
    """An array of new, seen, unreadable and unlisted items: each goes where it belongs and is counted as what it is."""
    await door.post(item("seen"))
    answer = await door.post(
        item("new"),
        item("seen"),
        {"no": "event"},
        item("odd", event="weather_changed"),
        42,
        item("new"),
        {"no": "event"},
    )
    assert answer.status == 202
    assert answer.document == {"accepted": 2, "duplicates": 3, "quarantined": 2}
    assert await door.ids(f"{SLUG}/customer_changed") == ["seen", "new"]
    assert await door.ids(f"{SLUG}/unlisted") == ["odd"]
    quarantined = await door.entries(door.store.keys.quarantine(SLUG))
    assert [entry[b"raw"] for entry in quarantined] == [b'{"no": "event"}', b"42"]
    assert door.count("event_router_items_total", publisher=SLUG, outcome="accepted") == 3
    assert door.count("event_router_items_total", publisher=SLUG, outcome="duplicate") == 3
    assert door.count("event_router_items_total", publisher=SLUG, outcome="quarantined") == 2


@pytest.mark.parametrize("body", [b"[]", b" [ ] "])
async def test_an_array_without_items_is_accepted(door: Door, body: bytes) -> None:
    """An empty array has nothing to store, and that is no fault."""
    assert (await door.post_bytes(body)).document == {"accepted": 0, "duplicates": 0, "quarantined": 0}
    assert await door.keys() == []


@pytest.mark.parametrize("body", [b"", b"not JSON", b"\xff\xfe", b"[1,", b"null", b'"text"', b'{"event": ""}'])
async def test_what_cannot_be_read_is_quarantined_with_the_reason(door: Door, body: bytes) -> None:
    """Signed but not understood: kept, answered 202, and once only."""
    assert (await door.post_bytes(body)).document == {"accepted": 0, "duplicates": 0, "quarantined": 1}
    assert (await door.post_bytes(body)).document == {"accepted": 0, "duplicates": 1, "quarantined": 0}
    [entry] = await door.entries(door.store.keys.quarantine(SLUG))
    assert entry[b"raw"] == body
    assert entry[b"reason"]
    assert entry[b"id"] == f"sha256:{hashlib.sha256(body).hexdigest()}".encode()
    assert entry[b"at"] == b"1700000000500"


async def test_the_header_names_a_single_item_without_an_id(door: Door) -> None:
    """A single item without an id of its own gets that of the header; items of an array do not."""
    nameless = {"event": "customer_changed", "note": CANARY}
    headers = {"X-VWD-Notification-Id": "FROM-HEADER"}
    await door.post(nameless, headers=headers)
    await door.post({**nameless, "n": 1}, {**nameless, "n": 2}, headers=headers)
    first, *others = await door.ids(f"{SLUG}/customer_changed")
    assert first == "from-header"
    assert len(others) == 2
    assert all(other.startswith("sha256:") for other in others)


async def test_a_publisher_without_deduplication(opened: Any) -> None:
    """With a window of 0 each webhook of that publisher is stored, under the id it has; others are as ever."""
    door = await opened(dedup_windows={SLUG: 0})
    body = encode(item("a"))
    for _ in range(3):
        assert (await door.post_bytes(body)).document == {"accepted": 1, "duplicates": 0, "quarantined": 0}
    assert await door.ids(f"{SLUG}/customer_changed") == ["a", "a", "a"]
    assert (await door.post(item("b"), item("b"))).document["duplicates"] == 1
    other = {"path": f"/webhooks/{SALES}"}
    body = encode(item("a", "SALESORDER_UPDATED"))
    signed_by_other = {HEADER: signed(body, "other-secret")}
    answers = [(await door.send(body, signed_by_other, **other)).document for _ in range(2)]
    assert [answer["duplicates"] for answer in answers] == [0, 1]


async def test_publishers_do_not_share_deduplication(opened: Any) -> None:
    """Two publishers may use the same id for different notifications."""
    door = await opened(secrets={SLUG: SECRET, SALES: SECRET})
    assert (await door.post(item("a", event="any"))).document["accepted"] == 1
    assert (await door.post(item("a", event="any"), path=f"/webhooks/{SALES}")).document["accepted"] == 1


async def test_a_query_string_does_not_matter(opened: Any) -> None:
    """Some portals append parameters to the URL; the path alone says which publisher."""
    door = await opened()
    assert (await door.post(item("a"), path=f"/webhooks/{SLUG}?code=1")).status == 202


async def test_a_large_array_is_accepted_whole(door: Door) -> None:
    """More items than one script call may take are all stored, in their order."""
    names = [f"n{number}" for number in range(250)]
    answer = await door.post(*(item(name) for name in names))
    assert answer.document == {"accepted": 250, "duplicates": 0, "quarantined": 0}
    assert await door.ids(f"{SLUG}/customer_changed") == names


async def test_accepting_is_timed(opened: Any) -> None:
    """The time from a request to its 202 is measured, that of a refusal is not."""
    door = await opened()
    await door.post(item("a"))
    await door.send(b"{}")
    assert door.count("event_router_accept_seconds_count") == 1


# 401

VECTOR = (
    b'{"tableIdentifier":"Product","customerNo":0,"companyNo":0,"primaryKeys":[{"ProductNo":"1001"}],'
    b'"event":"UPDATE","timestamp":"2024-05-27T18:12:55.7720784Z"}'
)


async def test_the_test_vector(door: Door) -> None:
    """The signature of the documented test vector is right when the key is taken as text, wrong when decoded."""
    wrong = "9oIeXlSWqLrimElj0cwn5uyhxLTZ+GXQFJj75XdtCa0="
    refused(await door.send(VECTOR, {HEADER: wrong}), 401)
    assert await door.keys() == []
    right = "/b4StW6+P42TCxPELOnSAjURZDVLyVkKSCierl8SnAM="
    assert (await door.send(VECTOR, {HEADER: right})).status == 202


BODY = encode(item("a"))
DECODED = base64.b64encode(hmac.digest(base64.b64decode(SECRET), BODY, "sha256")).decode()
HEX = hmac.new(SECRET.encode(), BODY, "sha256").hexdigest()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {HEADER: ""},
        {HEADER: "nonsense"},
        {HEADER: DECODED},
        {HEADER: HEX},
        {HEADER: f"sha256={signed(BODY)}"},
        {HEADER: signed(BODY).rstrip("=")},
        {HEADER: signed(BODY + b" ")},
        {HEADER: signed(BODY, "other-secret")},
        {HEADER: signed(BODY, "")},
        {HEADER: SECRET},
        {"x-visma-signature": signed(BODY)},
        {"Authorization": signed(BODY)},
    ],
    ids=str,
)
async def test_a_wrong_signature_is_refused_and_nothing_is_stored(
    door: Door, logged: Logged, headers: dict[str, str]
) -> None:
    """401 without the right signature in the right header; the log names the headers, never their values."""
    UNSPEAKABLE.update(value for value in headers.values() if value)
    refused(await door.send(BODY, headers), 401)
    assert await door.keys() == []
    [line] = [line for line in logged.lines if line["event"] == "signature_refused"]
    assert {name.lower() for name in headers} <= {name.lower() for name in line["header_names"]}
    assert line["publisher"] == SLUG


async def test_a_missing_signature_is_named(opened: Any) -> None:
    """The answer says which header is missing, so that a sender need not guess; the reason is counted."""
    door = await opened()
    assert HEADER in refused(await door.send(BODY), 401)
    assert HEADER not in refused(await door.send(BODY, {HEADER: "wrong"}), 401)
    for value in ("", " ", ",", " , "):
        assert f"{HEADER} is empty" in refused(await door.send(BODY, {HEADER: value}), 401)
    for reason, times in (("unsigned", 5), ("signature", 1)):
        labels = {"publisher": SLUG, "status": "401", "reason": reason}
        assert door.count("event_router_requests_refused_total", **labels) == times


@pytest.mark.parametrize("place", [0, 1, 9])
async def test_empty_signatures_beside_the_right_one(opened: Any, place: int) -> None:
    """Headers without a value, such as a proxy adds, take nothing from the one that is right."""
    door = await opened()
    values = ["", ",", " , "] * 3
    values.insert(place, right := signed(BODY))
    lines = "\r\n".join(f"{HEADER}: {value}" for value in values)
    async with door.raw() as line:
        line.write(request(BODY).replace(f"{HEADER}: {right}".encode(), lines.encode()))
        assert (await line.answer()).status == 202


async def test_a_publisher_without_a_secret_refuses_everything(opened: Any, logged: Logged) -> None:
    """Fail closed: no secret, no entry, even for a signature made with an empty key."""
    door = await opened(secrets={SALES: "other-secret"})
    refused(await door.send(BODY, {HEADER: signed(BODY, "")}), 401)
    assert await door.keys() == []
    assert logged.lines[-1]["reason"] == "no_secret"


async def test_a_publisher_may_be_allowed_to_send_unsigned(opened: Any) -> None:
    """`allow_unsigned` opens the door of one publisher, and of no other."""
    door = await opened(allow_unsigned=SLUG)
    assert (await door.send(BODY)).status == 202
    assert (await door.send(BODY, {HEADER: "wrong"})).document["duplicates"] == 1
    refused(await door.send(BODY, path=f"/webhooks/{SALES}"), 401)


async def test_several_secrets_are_accepted_while_they_are_rotated(opened: Any) -> None:
    """Any of a publisher's secrets is right, in any case of the header's name, and among several signatures."""
    door = await opened(secrets={SLUG: f"old-one,{SECRET}"})
    assert (await door.send(BODY, {HEADER: signed(BODY, "old-one")})).status == 202
    assert (await door.send(BODY, {HEADER.upper(): signed(BODY)})).status == 202
    assert (await door.send(BODY, {HEADER: f"nonsense, {signed(BODY)}"})).status == 202


async def test_a_refused_sender_may_try_again_on_the_same_connection(opened: Any) -> None:
    """A 401 leaves nothing behind on the connection: the next request on it is answered for itself."""
    door = await opened()
    async with door.raw() as line:
        line.write(request(BODY).replace(signed(BODY).encode(), b"wrong"))
        line.write(request(BODY))
        refused(await line.answer(), 401)
        assert (await line.answer()).status == 202


# 429


async def test_a_publisher_over_its_rate_is_told_when_to_come_back(opened: Any) -> None:
    """429 with Retry-After and a problem document beyond the burst; nothing of it is stored, and it is counted."""
    door = await opened(rate_limit=0.01, rate_burst=2)
    assert [(await door.post(item(name))).status for name in "ab"] == [202, 202]
    answer = await door.post(item("c"))
    refused(answer, 429)
    assert 90 <= int(answer.headers["Retry-After"]) <= 100
    assert await door.ids(f"{SLUG}/customer_changed") == ["a", "b"]
    labels = {"publisher": SLUG, "status": "429", "reason": "rate_limit"}
    assert door.count("event_router_requests_refused_total", **labels) == 1


async def test_forgeries_take_nothing_of_a_publisher_s_rate(opened: Any) -> None:
    """Only what is signed rightly counts: strangers cannot have the publisher refused, nor can another publisher."""
    door = await opened(rate_limit=0.01, rate_burst=1)
    for _ in range(20):
        refused(await door.send(BODY, {HEADER: "forged"}), 401)
    body = encode(item("s"))
    assert (await door.send(body, {HEADER: signed(body, "other-secret")}, path=f"/webhooks/{SALES}")).status == 202
    assert (await door.post(item("a"))).status == 202
    refused(await door.post(item("b")), 429)


async def test_a_refusal_for_the_rate_keeps_the_connection(opened: Any) -> None:
    """A sender over its rate need not connect again."""
    door = await opened(rate_limit=0.01, rate_burst=1)
    async with door.raw() as line:
        for status in (202, 429, 429):
            line.write(request(BODY))
            assert (await line.answer()).status == status


async def test_a_flood_of_forgeries_does_not_fill_the_log(
    opened: Any, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every refusal is counted, but only some are logged; and the names of headers, of any number, are cut."""
    monkeypatch.setattr("router.ingress.app._LOGGED", (0.001, 10))
    door = await opened()
    extra = tuple(f"x-{number}-{'n' * 100}: 1" for number in range(60))
    forged = request(BODY, extra=extra).replace(signed(BODY).encode(), b"forged")
    async with door.raw() as line:
        for _ in range(50):
            line.write(forged)
            assert (await line.answer()).status == 401
    labels = {"publisher": SLUG, "status": "401", "reason": "signature"}
    assert door.count("event_router_requests_refused_total", **labels) == 50
    for event in ("signature_refused", "request_refused"):
        assert logged.events().count(event) == 10
    names = next(line for line in logged.lines if line["event"] == "signature_refused")["header_names"]
    assert len(names) == 50
    assert max(map(len, names)) == 50


async def test_a_flood_of_forgeries_waits_for_its_answers(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number a second a forgery's answer is held back, and with it its connection; nobody else's is."""
    monkeypatch.setattr("router.ingress.app._HELD", 3600)
    monkeypatch.setattr("router.ingress.app._FORGERIES", (0.001, 10))
    door = await opened()
    forged = request(BODY).replace(signed(BODY).encode(), b"forged")
    async with door.raw() as flood, door.raw() as other:
        for _ in range(10):
            flood.write(forged)
            refused(await flood.answer(), 401)
        flood.write(forged + request(BODY))
        await eventually(lambda: any(connection.busy for connection in door.server.connections))
        [held] = [connection for connection in door.server.connections if connection.busy]
        other.write(request(BODY))
        assert (await other.answer()).status == 202
        assert not flood.reader._buffer
        held.fail(StoreUnavailable("away"))  # as the timer does, an hour later, with its own refusal
        refused(await flood.answer(), 503)
        assert (await flood.answer()).status == 202


# 403

PROXIED = {"allow": "10.0.0.0/8", "trusted_proxies": "127.0.0.0/8,192.168.0.1"}


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [
        (["10.1.2.3"], 202),
        (["6.6.6.6, 10.1.2.3"], 202),
        (["6.6.6.6, 10.1.2.3, 192.168.0.1"], 202),
        (["6.6.6.6", "10.1.2.3"], 202),
        (["6.6.6.6"], 403),
        (["10.1.2.3, 6.6.6.6"], 403),
        (["10.1.2.3", "6.6.6.6"], 403),
        (["10.1.2.3, nonsense"], 403),
        ([""], 403),
        ([], 403),
    ],
)
async def test_the_client_is_the_first_address_that_is_no_trusted_proxy(
    opened: Any, forwarded: list[str], status: int
) -> None:
    """Behind trusted proxies the last address that none of them has is the client; what it wrote itself is ignored."""
    door = await opened(**PROXIED)
    async with door.raw() as line:
        line.write(request(BODY, extra=tuple(f"X-Forwarded-For: {value}" for value in forwarded)))
        answer = await line.answer()
    assert answer.status == status
    assert bool(await door.keys()) == (status == 202)


async def test_without_trusted_proxies_only_the_peer_counts(opened: Any) -> None:
    """X-Forwarded-For of a stranger is not believed; the connection is closed after the refusal."""
    door = await opened(allow="10.0.0.0/8")
    async with door.raw() as line:
        line.write(request(BODY, extra=("X-Forwarded-For: 10.1.2.3",)))
        refused(await line.answer(), 403)
        assert await line.closed()
    assert await door.keys() == []
    door = await opened(allow="127.0.0.1")
    assert (await door.post(item("a"))).status == 202


async def test_a_refused_address_does_not_learn_which_publishers_exist(opened: Any, logged: Logged) -> None:
    """The address is looked at before the publisher, and its refusal is logged."""
    door = await opened(allow="10.0.0.0/8")
    refused(await door.post(item("a"), path="/webhooks/nobody"), 403)
    assert "request_refused" in logged.events()


async def test_a_refusal_is_logged_with_the_client_behind_the_proxies(opened: Any, logged: Logged) -> None:
    """Who was refused is told by the address that counts: behind a trusted proxy not the proxy's, and never hearsay."""
    door = await opened(trusted_proxies="127.0.0.1")
    assert (await door.send(BODY, {HEADER: "wrong", "X-Forwarded-For": "6.6.6.6, 10.1.2.3"})).status == 401
    assert (await door.send(BODY, {HEADER: "wrong", "X-Forwarded-For": "nonsense"})).status == 401
    assert (await door.send(BODY, {HEADER: "wrong"})).status == 401
    door = await opened()
    assert (await door.send(BODY, {HEADER: "wrong", "X-Forwarded-For": "10.1.2.3"})).status == 401
    refusals = [line for line in logged.lines if line["event"] == "request_refused"]
    assert [line["client"] for line in refusals] == ["10.1.2.3", "127.0.0.1", "127.0.0.1", "127.0.0.1"]


# 404, 405, 415


@pytest.mark.parametrize(
    "path", ["/", "/webhooks", f"/webhook/{SLUG}", f"/WEBHOOKS/{SLUG}", f"/x/webhooks/{SLUG}", f"/webhooks{SLUG}"]
)
async def test_other_paths_are_not_found(opened: Any, path: str) -> None:
    """404 for every other path, with the right one in the answer."""
    door = await opened()
    assert "/webhooks/{publisher}" in refused(await door.post(item("a"), path=path), 404)
    assert await door.keys() == []


@pytest.mark.parametrize(
    "slug", ["", "nobody", SLUG.upper(), f"{SLUG}/x", f"x/{SLUG}", f"../webhooks/{SLUG}", "..", "%2e%2e", "%ff", "*"]
)
async def test_an_unknown_publisher_is_not_found(opened: Any, slug: str) -> None:
    """404 with the publishers that there are; what is behind a name, and dots, make another name of it."""
    door = await opened()
    async with door.raw() as line:
        line.write(request(BODY, path=f"/webhooks/{slug}"))
        assert SLUG in refused(await line.answer(), 404)
    assert await door.keys() == []
    assert door.count("event_router_requests_refused_total", publisher="", status="404", reason="publisher") == 1


@pytest.mark.parametrize(
    "path",
    [
        f"/webhooks/{SLUG}/",
        f"/webhooks/{SLUG}//",
        f"/webhooks/{SLUG}/?code=1",
        f"//webhooks/{SLUG}",
        f"/webhooks//{SLUG}",
        f"///webhooks///{SLUG}///",
        "/webhooks/visma%2Dnet%2dfinancial",
        f"/webhooks/{SLUG}%2F",
        f"/webhooks/{SLUG}%20",
        f"/webhooks/{SLUG}?",
        f"/webhooks/{SLUG}?a=/b/&c",
        f"http://localhost//webhooks/{SLUG}/",
    ],
)
async def test_the_path_is_read_as_a_portal_s_user_means_it(opened: Any, path: str) -> None:
    """A slash more, a name that is percent-encoded and a space behind it change nothing about who is named."""
    door = await opened()
    async with door.raw() as line:
        line.write(request(BODY, path=path))
        assert (await line.answer()).status == 202
    assert await door.ids(f"{SLUG}/customer_changed") == ["a"]


async def test_the_absolute_form_of_a_target_is_accepted(opened: Any) -> None:
    """`POST http://host/webhooks/x` is what some forward proxies send, and means the same as the path."""
    door = await opened()
    async with door.raw() as line:
        line.write(request(BODY, path=f"http://localhost/webhooks/{SLUG}"))
        assert (await line.answer()).status == 202


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_other_methods_are_not_allowed(opened: Any, method: str) -> None:
    """405 names the one method that is, and closes; a signature does not help."""
    door = await opened()
    answer = await door.post(item("a"), method=method)
    refused(answer, 405)
    assert answer.headers["Allow"] == "POST"
    assert await door.keys() == []


async def test_head_gets_the_status_without_a_body(opened: Any) -> None:
    """HEAD is 405 as GET is, and has no body."""
    door = await opened()
    answer = await door.send(method="HEAD")
    assert (answer.status, answer.body) == (405, b"")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity", "unheard-of"])
async def test_a_compressed_body_is_not_accepted(opened: Any, encoding: str) -> None:
    """415: a body is never inflated before its signature was checked."""
    door = await opened()
    async with door.raw() as line:
        line.write(request(BODY, extra=(f"Content-Encoding: {encoding}",)))
        assert "Content-Encoding" in refused(await line.answer(), 415)
        assert await line.closed()
    assert await door.keys() == []


@pytest.mark.parametrize(
    "encodings", [["Identity"], [""], ["  "], [" identity , IDENTITY "], [","], ["", "identity"], ["identity", ""]]
)
async def test_the_identity_encoding_is_none(opened: Any, encodings: list[str]) -> None:
    """`Content-Encoding: identity` says nothing, however it is written, and nor does a header without a value."""
    door = await opened()
    async with door.raw() as line:
        line.write(request(BODY, extra=tuple(f"Content-Encoding: {value}" for value in encodings)))
        assert (await line.answer()).status == 202


async def test_an_encoding_in_a_second_header_is_seen(opened: Any) -> None:
    """A body is compressed too where the first of two headers says that it is not."""
    door = await opened()
    async with door.raw() as line:
        line.write(request(BODY, extra=("Content-Encoding: identity", "Content-Encoding: gzip")))
        refused(await line.answer(), 415)


@pytest.mark.parametrize(
    "header",
    [
        "Content-Type:",
        "Content-Type: text/plain",
        "X-Forwarded-For:",
        "X-VWD-Notification-Id:",
        "Connection:",
        "Expect:",
        "Expect: ",
        "Accept-Encoding:",
        "traceparent:",
        "TE:",
    ],
)
async def test_a_header_without_a_value_says_nothing(opened: Any, header: str) -> None:
    """What gateways leave empty is no reason to refuse a webhook."""
    door = await opened()
    async with door.raw() as line:
        line.write(request(BODY, extra=(header,)))
        assert (await line.answer()).status == 202


async def test_an_encoding_of_transfer_that_is_not_known_is_refused(opened: Any) -> None:
    """Where a body of `Transfer-Encoding: identity` ends is not agreed on (RFC 9112, 6.1): it is refused, and said."""
    door = await opened()
    async with door.raw() as line:
        line.write(request(BODY, extra=("Transfer-Encoding: identity",)))
        assert "Transfer-Encoding" in refused(await line.answer(), 400)
        assert await line.closed()


# 408, 413


@pytest.mark.parametrize("framing", ["Content-Length: 5000", "Transfer-Encoding: chunked"])
async def test_a_slow_body_is_given_up(opened: Any, framing: str) -> None:
    """408 when the body does not arrive in time, however it is framed; nothing of it is stored."""
    door = await opened(body_timeout=0.1)
    async with door.raw() as line:
        line.write(f"POST /webhooks/{SLUG} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n5\r\n".encode())
        assert "0.1" in refused(await line.answer(), 408)
    assert await door.keys() == []


async def test_a_dripping_body_is_given_up(opened: Any) -> None:
    """The time is for the whole body: a sender cannot hold the request open by sending a byte now and then."""
    door = await opened(body_timeout=0.2)
    async with door.raw() as line:
        line.write(request(b"", length=100_000))
        answer = asyncio.ensure_future(line.answer())

        def drip() -> bool:
            line.write(b"x")
            return answer.done()

        await eventually(drip)
        refused(await answer, 408)


async def test_a_body_over_the_limit_is_refused_by_its_length(opened: Any) -> None:
    """413 at once for a length over the limit: no byte of the body is waited for, and the connection is closed."""
    door = await opened(max_body=1000)
    async with door.raw() as line:
        line.write(request(b"", length=1001))
        assert "1000" in refused(await line.answer(), 413)
        assert await line.closed()
    assert await door.keys() == []


async def test_a_chunked_body_over_the_limit_is_refused_as_it_comes(opened: Any) -> None:
    """413 as soon as the chunks are over the limit, whether they come at once or one by one."""
    door = await opened(max_body=1000)
    body = encode(item("a", pad="x" * 1000))
    head = (
        f"POST /webhooks/{SLUG} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n{HEADER}: {signed(body)}\r\n\r\n"
    )
    async with door.raw() as line:
        line.write(head.encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        refused(await line.answer(), 413)
    async with door.raw() as line:
        line.write(head.encode())
        answer = asyncio.ensure_future(line.answer())

        def feed() -> bool:
            line.write(b"64\r\n" + b"x" * 100 + b"\r\n")
            return answer.done()

        await eventually(feed)
        refused(await answer, 413)
    assert await door.keys() == []


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_of_exactly_the_limit_is_accepted(opened: Any, *, chunked: bool) -> None:
    """The limit itself is allowed, one byte more is not."""
    door = await opened(max_body=1000)
    body = encode(item("a", pad=""))
    body = encode(item("a", pad="x" * (1000 - len(body))))
    assert len(body) == 1000

    async def parts() -> AsyncIterator[bytes]:
        yield body[:400]
        yield body[400:]

    answer = await door.send(parts() if chunked else body, {HEADER: signed(body)})
    assert answer.status == 202
    refused(await door.post_bytes(body + b" "), 413)


async def test_a_body_in_many_pieces_is_read_whole(opened: Any) -> None:
    """What is signed is the body without its framing, in whatever pieces it comes."""
    door = await opened()
    body = encode(*(item(f"n{number}", pad="x" * 300) for number in range(200)))

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 7001):
            yield body[start : start + 7001]

    assert (await door.send(parts(), {HEADER: signed(body)})).document["accepted"] == 200


# 503


class Broken:
    """An appender that fails in a way nobody thought of."""

    def append(self, _entries: object, _answer: object) -> Any:
        """Fail."""
        raise RuntimeError("out of cheese")


async def test_503_while_the_store_is_away(opened: Any, logged: Logged) -> None:
    """Our fault is 503 with Retry-After, and the sender is told that nothing is lost."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        store = connect(f"redis://127.0.0.1:{nobody.getsockname()[1]}", Keys("x"), connect_timeout=1, timeout=1)
        door = await opened(store=store, retry_after=7)
        answer = await door.post(item("a"), item("b", event="supplier_changed"))
        await store.aclose()
    assert "send this again" in refused(answer, 503)
    assert answer.headers["Retry-After"] == "7"
    assert "append_failed" in logged.events()
    assert door.count("event_router_requests_refused_total", publisher=SLUG, status="503", reason="store") == 1


async def test_all_items_or_no_2xx(door: Door) -> None:
    """503 when one stream of several refuses; sent again, what was stored the first time is a duplicate."""
    blocked = door.store.keys.events(f"{SLUG}/supplier_changed")
    await door.store.client.set(blocked, "in the way")
    body = encode(item("a"), item("b", event="supplier_changed"))
    refused(await door.post_bytes(body), 503)
    await door.store.client.delete(blocked)
    assert (await door.post_bytes(body)).document == {"accepted": 1, "duplicates": 1, "quarantined": 0}


async def test_503_for_a_fault_of_ours(opened: Any, logged: Logged) -> None:
    """An error in our code is 503 with Retry-After, is logged with its traceback, and the door stays open."""
    door = await opened(appender=Broken())
    answer = await door.post(item("a"))
    refused(answer, 503)
    assert answer.headers["Retry-After"] == "5"
    assert "cheese" not in answer.document["detail"]
    [line] = logged.lines
    assert line["event"] == "request_failed"
    assert "out of cheese" in line["exception"]
    refused(await door.post(item("a")), 503)


async def test_a_request_that_breaks_takes_no_other_with_it(
    opened: Any, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of requests that come at the same moment each gets its own answer, also behind one that our code fails at."""
    door = await opened()
    bodies = [encode(item(name)) for name in ("first", "broken", "last")]

    def reads(catalogue: Catalogue, publisher: str, body: bytes, header_id: str | None) -> Any:
        if body == bodies[1]:
            raise LookupError("a bug")
        return identify(catalogue, publisher, body, header_id)

    monkeypatch.setattr("router.ingress.app.identify", reads)
    async with door.raw() as first, door.raw() as broken, door.raw() as last:
        lines = (first, broken, last)
        for line, body in zip(lines, bodies, strict=True):
            line.write(request(body))
        answers = [await line.answer() for line in lines]
    assert [answer and answer.status for answer in answers] == [202, 503, 202]
    assert logged.events() == ["request_failed"]


class Stuck:
    """A store that answers no script until its time-out."""

    def __init__(self, keys: Keys, timeout: float) -> None:
        self.keys = keys
        self._timeout = timeout

    async def run(self, calls: list[Any]) -> list[Any]:
        """Fail after the time-out."""
        await asyncio.sleep(self._timeout)
        return [RedisConnectionError("Timeout reading")] * len(calls)


async def test_no_request_waits_longer_than_the_store_timeout(opened: Any) -> None:
    """`store_timeout` is how long a request waits for the store, also when it came while another one waited."""
    door = await opened(store=Stuck(Keys("x"), 2.0), store_timeout=2.0)
    loop = asyncio.get_running_loop()

    async def timed(name: str) -> float:
        started = loop.time()
        refused(await door.post(item(name)), 503)
        return loop.time() - started

    first = asyncio.ensure_future(timed("a"))
    await eventually(lambda: door.server.requests_count == 1)
    assert max(await asyncio.gather(timed("b"), first)) < 3.5


# The connection


async def test_slow_headers_are_cut_off(opened: Any, logged: Logged) -> None:
    """A sender that does not finish its headers in time loses the connection, and gets no answer to hold on to."""
    door = await opened(header_timeout=0.1)
    async with door.raw() as line:
        line.write(f"POST /webhooks/{SLUG} HTTP/1.1\r\nHost:".encode())
        assert await line.closed()
    assert "headers_too_slow" in logged.events()


async def test_dripping_headers_are_cut_off(opened: Any) -> None:
    """The time is for all headers: a byte now and then does not renew it. So also for a later request."""
    door = await opened(header_timeout=0.2)
    async with door.raw() as line:
        line.write(request(BODY))
        assert (await line.answer()).status == 202
        line.write(b"POST / HTTP/1.1\r\nX: ")
        ended = asyncio.ensure_future(line.closed())

        def drip() -> bool:
            line.write(b"x")
            return ended.done()

        await eventually(drip)


async def test_headers_in_pieces_are_read(opened: Any) -> None:
    """Headers that come in pieces, but in time, are a request like any other; the clock stops with the last."""
    door = await opened(header_timeout=0.4, body_timeout=20)
    head, _, body = request(BODY).partition(b"\r\n\r\n")
    async with door.raw() as line:
        line.write(head[:20])
        await eventually(lambda: any(map(slow_head, door.server.connections)))
        line.write(head[20:] + b"\r\n\r\n")
        await eventually(lambda: not any(map(slow_head, door.server.connections)))
        line.write(body)
        assert (await line.answer()).status == 202


async def test_a_connection_that_says_nothing_is_closed(opened: Any) -> None:
    """An idle connection is closed after `keepalive`, before a first request and after one."""
    door = await opened(keepalive=0.1)
    async with door.raw() as line:
        assert await line.closed()
    async with door.raw() as line:
        line.write(request(BODY))
        assert (await line.answer()).status == 202
        assert await line.closed()


async def test_a_lost_connection_leaves_no_timer(opened: Any, logged: Logged) -> None:
    """A sender that goes away in the middle of its headers is forgotten, and not reported as slow later."""
    door = await opened(header_timeout=30)
    async with door.raw() as line:
        line.write(b"POST")
        await eventually(lambda: any(map(slow_head, door.server.connections)))
        [connection] = door.server.connections
    await eventually(lambda: not door.server.connections)
    assert connection._deadline._timer is None
    assert logged.events() == []


async def test_pipelined_requests_are_answered_in_order(opened: Any) -> None:
    """Requests sent without waiting for answers are answered one by one, each for itself."""
    door = await opened()
    async with door.raw() as line:
        line.write(b"".join(request(encode(item(name))) for name in ("a", "b", "a")))
        line.write(request(b"{}", path="/webhooks/nobody") + request(encode(item("c"))))
        answers = [await line.answer() for _ in range(5)]
    assert [answer.status for answer in answers] == [202, 202, 202, 404, 202]
    assert answers[2].document["duplicates"] == 1
    assert await door.ids(f"{SLUG}/customer_changed") == ["a", "b", "c"]


async def test_expect_100_continue_is_honoured(opened: Any) -> None:
    """A sender that asks first is told to go on, once, and then answered."""
    door = await opened()
    async with door.raw() as line:
        for expect in ("Expect: 100-continue", "EXPECT:100-Continue  "):
            head, _, body = request(BODY, extra=(expect,)).partition(b"\r\n\r\n")
            line.write(head + b"\r\n\r\n")
            assert (await line.answer()).status == 100
            line.write(body)
            assert (await line.answer()).status == 202


async def test_expect_100_continue_is_no_invitation_for_what_is_refused(opened: Any) -> None:
    """A body that will not be accepted is refused before it is sent."""
    door = await opened(max_body=1000)
    async with door.raw() as line:
        line.write(request(b"", extra=("Expect: 100-continue",), length=2000))
        refused(await line.answer(), 413)
    async with door.raw() as line:
        line.write(request(b"", extra=("Expect: 100-continue",), length=20, path="/"))
        refused(await line.answer(), 404)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS hello
        b"garbage\r\n\r\n",
        b"POST /webhooks/x HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nno colon here\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1e3\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"POST /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X%d: x\r\n" % n for n in range(500)) + b"\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nX: \x00\r\n\r\n",
    ],
    ids=lambda value: value[:60],
)
async def test_what_is_not_http_gets_400(opened: Any, logged: Logged, garbage: bytes) -> None:
    """400 with a problem document, and the connection is closed; it is the sender's fault and logged as no error."""
    door = await opened()
    async with door.raw() as line:
        line.write(garbage)
        answer = await line.answer()
        assert answer is not None
        refused(answer, 400)
        assert await line.closed()
    assert set(logged.events()) <= {"request_refused"}
    assert await door.keys() == []


async def test_503_for_a_fault_of_ours_after_storing(
    opened: Any, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the answer cannot be made the sender does not wait for ever: it is told, and sends again what is stored."""
    door = await opened()

    def break_down(*_: Any) -> None:
        raise LookupError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr("router.ingress.app.Ingress._accepted", break_down)
        refused(await door.post(item("a")), 503)
    assert "request_failed" in logged.events()
    assert (await door.post(item("a"))).document == {"accepted": 0, "duplicates": 1, "quarantined": 0}


async def test_a_publisher_that_is_removed_under_way(opened: Any, catalogue: Catalogue) -> None:
    """A request that has begun is read as it was when it began; the next one finds no such publisher."""
    door = await opened()
    whole = request(encode(item("a")))
    async with door.raw() as line:
        line.write(whole[:-1])
        await eventually(lambda: [connection.busy for connection in door.server.connections] == [True])
        others = Catalogue.of(found for found in catalogue.publishers.values() if found.slug != SLUG)
        door.server._application.reload(Settings(), others)
        line.write(whole[-1:])
        answer = await line.answer()
        assert answer is not None
        assert answer.document == {"accepted": 1, "duplicates": 0, "quarantined": 0}
    assert [key for key in await door.keys() if key.endswith(":events")] == [
        door.store.keys.events(f"{SLUG}/customer_changed")
    ]
    refused(await door.post(item("b")), 404)


async def test_a_broken_chunk_is_the_senders_fault(opened: Any) -> None:
    """400, at once, for a body whose framing is broken; nothing is stored."""
    door = await opened(body_timeout=0.2)
    async with door.raw() as line:
        line.write(f"POST /webhooks/{SLUG} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        await eventually(lambda: door.server.requests_count == 1)
        line.write(b"zz\r\nnonsense\r\n")
        refused(await line.answer(), 400)
    assert await door.keys() == []


async def test_a_sender_that_goes_away_in_its_body_leaves_nothing(opened: Any) -> None:
    """A body that ended early is not stored, breaks nothing, and counts as the sender's fault."""
    door = await opened()
    async with door.raw() as line:
        line.write(request(BODY, length=len(BODY) + 1))
        await eventually(lambda: door.server.requests_count == 1)
    labels = {"publisher": SLUG, "status": "400", "reason": "BadBody"}
    await eventually(lambda: door.count("event_router_requests_refused_total", **labels) == 1)
    assert await door.keys() == []
    assert (await door.post(item("a"))).status == 202


async def test_a_sender_that_goes_away_before_its_answer_breaks_nothing(opened: Any, catalogue: Catalogue) -> None:
    """What was read whole is stored although nobody waits for the answer."""
    door = await opened()
    async with door.raw() as line:
        line.write(request(BODY))
    await eventually(lambda: not door.server.connections)
    assert (await door.post(item("z"))).status == 202


async def test_a_fault_below_the_handler_is_a_503_and_closes(catalogue: Catalogue, logged: Logged) -> None:
    """Whatever escapes a handler is answered 503 as a problem document, and logged, without its request."""

    class Broken(Ingress):
        def accept(self, *_: object) -> None:
            raise RuntimeError("never in an answer")

    configured = Settings(ingress={"header_timeout": 5}, secrets={SLUG: SECRET})
    ingress = Broken(configured, catalogue, None, IngressMetrics(CollectorRegistry()))  # type: ignore[arg-type]
    server = Server(ingress, configured.ingress)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", listening.sockets[0].getsockname()[1])
    line = Line(reader, writer)
    line.write(request(BODY))
    answer = await line.answer()
    assert answer is not None
    assert "never" not in refused(answer, 503)
    assert await line.closed()
    [failed] = [entry for entry in logged.lines if "exception" in entry]
    assert failed["event"] == "request_failed"
    assert "never in" in failed["exception"]
    writer.close()
    listening.close()
    server.abort()


# Whatever comes

CASES = settings(
    max_examples=settings.default.max_examples * 4,  # several hundred; more with a profile that asks for more
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

values = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20))
jsons = st.recursive(values, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))
names = st.sampled_from(["event", "Event", "NotificationId", "notificationId", "timeStamp", "entityId", "ischeduler"])
events = st.dictionaries(
    names | st.text(max_size=5),
    jsons | st.sampled_from(["customer_changed", "Customer_Updated", "\ud800", "é"]),
    max_size=6,
)
documents = st.one_of(jsons, events, st.lists(events, max_size=4)).map(lambda value: json.dumps(value).encode())
bodies = st.one_of(st.binary(max_size=300), documents, st.tuples(documents, st.binary(max_size=5)).map(b"".join))
header_bytes = st.binary(max_size=40).map(lambda value: value.replace(b"\r", b"").replace(b"\n", b""))
header_names = st.sampled_from(
    [
        b"Content-Type",
        b"Content-Encoding",
        b"Connection",
        b"Expect",
        b"X-Forwarded-For",
        b"Upgrade",
        b"x-vwd-notification-id",
        HEADER.encode(),
        b"Host",
        b"Cookie",
    ]
)


@pytest.fixture
async def fuzzed(opened: Any, logged: Logged) -> AsyncIterator[Door]:
    """Run an ingress that must not log an error or raise, whatever it is sent."""
    loop = asyncio.get_running_loop()
    raised: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: raised.append(context))
    yield await opened(body_timeout=0.1, header_timeout=0.3)
    assert raised == []
    assert not {"request_failed", "append_failed"} & set(logged.events())


async def exchange(door: Door, data: bytes) -> Answer | None:
    """Send bytes, and return the last thing the server says to them before it closes or falls silent."""
    async with door.raw() as line:
        line.write(data)
        last = None
        while answer := await line.answer():
            last = answer
            assert answer.status in {100, 202} or 400 <= answer.status < 500, answer
    return last


@CASES
@given(body=bodies)
@example(body=b"[" * 2000)
@example(body=b'{"event":' * 200)
@example(body=b'{"event": "customer_changed", "notificationId": "\\ud800"}')
@example(body=b'{"event": "\\ud83d"}')
async def test_any_signed_body_is_stored_or_quarantined(fuzzed: Door, body: bytes) -> None:
    """A signed body of any bytes is answered 202 and all its items are counted; it is never an error of ours."""
    answer = await exchange(fuzzed, request(body, extra=("Connection: close",)))
    assert answer is not None
    assert answer.status == 202
    assert sum(answer.document.values()) >= (0 if body.strip(b" \t\r\n\xef\xbb\xbf")[:1] == b"[" else 1)


@CASES
@given(headers=st.lists(st.tuples(header_names, header_bytes), max_size=5), body=bodies)
@example(headers=[(b"x-vwd-notification-id", b"\xff\xfe")], body=b'{"event": "customer_changed"}')
async def test_any_headers_are_the_senders_fault_at_most(
    fuzzed: Door, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    """With any values in its headers a request gets a 202 or a 4xx."""
    extra = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    head, _, rest = request(body, extra=("Connection: close",)).partition(b"\r\n\r\n")
    answer = await exchange(fuzzed, head + b"\r\n" + extra + b"\r\n" + rest)
    assert answer is None or answer.status != 100


@CASES
@given(
    method=st.sampled_from([b"POST", b"GET", b"", b"PRI", b"\x00"]) | st.binary(max_size=6),
    path=st.sampled_from([b"/", f"/webhooks/{SLUG}".encode(), b"*", b"http://["]) | st.binary(max_size=30),
    rest=st.binary(max_size=100),
)
async def test_any_bytes_are_answered_or_cut_off(fuzzed: Door, method: bytes, path: bytes, rest: bytes) -> None:
    """What may not even be HTTP gets a 4xx, or the end of the connection."""
    await exchange(fuzzed, method + b" " + path + b" HTTP/1.1\r\nConnection: close\r\n" + rest + b"\r\n\r\n")


async def test_a_body_that_is_under_way_when_ingress_stops_is_read_and_answered(opened: Any) -> None:
    """Told to stop between head and body of a request, ingress finishes it; the sender has nothing to make up for."""
    door = await opened()
    body = encode(item("a"))
    async with door.raw() as line:
        head, _, rest = request(body).partition(b"\r\n\r\n")
        line.write(head + b"\r\n\r\n" + rest[:5])
        await eventually(lambda: any(connection.busy for connection in door.server.connections))
        door.server.close()
        finishing = asyncio.create_task(door.server.finish(10))
        line.write(rest[5:])
        answer = await line.answer()
        assert answer is not None
        assert answer.status == 202
        assert await line.closed()
        await finishing


async def test_finishing_is_bounded(opened: Any) -> None:
    """A sender that never sends the rest does not keep ingress from ending."""
    door = await opened()
    async with door.raw() as line:
        line.write(request(encode(item("a")))[:-5])
        await eventually(lambda: any(connection.busy for connection in door.server.connections))
        door.server.close()
        await door.server.finish(0.1)
        assert any(connection.busy for connection in door.server.connections)


HINTS = {"X-VWD-Tenant-Id": "t1", "x-vwd-notification-id": "N1", "OrderRef": "17", "Cookie": "c", "X-Other": "o"}


async def test_hints_are_kept_with_each_item(catalogue: Catalogue) -> None:
    """Headers on the publisher's list and that of the settings are stored with every item, quarantined ones too."""
    listed = {SLUG: "orderref,*signature*,cookie"}
    async with fake_store() as store, running(store, catalogue, hints=listed) as door:
        assert (await door.post(item("a"), item("b"), {"no": "event"}, headers=HINTS)).status == 202
        stored = await door.entries(store.keys.events(f"{SLUG}/customer_changed"))
        stored += await door.entries(store.keys.quarantine(SLUG))
        assert len(stored) == 3
        for fields in stored:
            hints = json.loads(fields[b"hints"])
            assert hints == {"x-vwd-tenant-id": "t1", "x-vwd-notification-id": "N1", "orderref": "17"}
        assert await door.ids(f"{SLUG}/customer_changed") == ["a", "b"]


async def test_an_entry_without_hints_has_no_field(catalogue: Catalogue) -> None:
    """Where no header is on the list, the entry is as it always was."""
    async with fake_store() as store, running(store, catalogue) as door:
        await door.post(item("a"), headers={"OrderRef": "17"})
        (fields,) = await door.entries(store.keys.events(f"{SLUG}/customer_changed"))
        assert set(fields) == {b"id", b"at", b"event", b"raw"}


async def test_other_hints_are_the_same_notification(catalogue: Catalogue) -> None:
    """A repeated notification is a duplicate whatever its headers say now: they are not signed."""
    async with fake_store() as store, running(store, catalogue) as door:
        for tenant in ("t1", "t2"):
            await door.post(item("a"), headers={"x-vwd-tenant-id": tenant, "x-vwd-notification-id": tenant})
        (fields,) = await door.entries(store.keys.events(f"{SLUG}/customer_changed"))
        assert json.loads(fields[b"hints"])["x-vwd-tenant-id"] == "t1"
