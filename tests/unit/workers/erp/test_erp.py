"""Fetching, changing and making records: what comes back, and what becomes of each refusal."""

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from support.erp import TENANT, answering, customer_event, erp_settings

from config.errors import ConfigError
from config.settings import Settings
from workers import Defer, Event
from workers.erp import (
    Erp,
    ErpBusy,
    ErpConflict,
    ErpError,
    ErpNotSet,
    ErpRefused,
    ErpUnavailable,
    ErpUnreadable,
    NoTenant,
    erp_for,
    open_clients,
)
from workers.erp.clients import check_set
from workers.erp.fake import FakeErp, serving
from workers.erp.judgement import retry_after
from workers.erp.metrics import ErpMetrics
from workers.record import Record

PATH = "v1/customer/1"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@asynccontextmanager
async def client(erp: FakeErp, **options: Any) -> AsyncIterator[Erp]:
    """Yield the client of an event's tenant."""
    async with open_clients(erp_settings(erp, **options)), erp_for(customer_event()) as found:
        yield found


async def fetched(response: web.Response, **options: Any) -> Record:
    """Fetch a record from an ERP that answers so."""

    async def answer(_request: web.Request) -> web.Response:
        return response

    async with serving(FakeErp()) as erp, answering(answer) as base, client(erp, base_url=base, **options) as found:
        return await found.get(PATH)


async def test_a_record(erp: FakeErp) -> None:
    """A record has the status, the version, the parsed body, and when it was fetched; numbers stay exact."""
    entry = erp.books(TENANT).put(PATH, {"name": "Ada", "ticks": 638974335577900001})
    before = datetime.now(UTC)
    async with client(erp) as found:
        record = await found.get(PATH)
    assert (record.status, record.etag, record.gone) == (200, entry.etag, False)
    assert record.body == {"name": "Ada", "ticks": 638974335577900001}
    assert before <= record.fetched_at <= datetime.now(UTC)
    assert "Ada" not in repr(record)


async def test_a_record_that_is_gone(erp: FakeErp) -> None:
    """A 404 is no error: the record is gone."""
    async with client(erp) as found:
        record = await found.get(PATH)
    assert record.gone
    assert record.body is None


async def test_a_page_that_says_404_is_no_deletion() -> None:
    """A 404 that is a web page says that the base is wrong, not that the record is gone."""
    with pytest.raises(ErpRefused, match="correct base_url"):
        await fetched(web.Response(status=404, text="<h1>no</h1>", content_type="text/html"))


async def test_tenants_are_apart(erp: FakeErp) -> None:
    """Each event is asked for as its own tenant; one of none as that of the settings, or not at all."""
    erp.books("t2").put(PATH, {"of": "t2"})
    async with open_clients(erp_settings(erp)):
        async with erp_for(customer_event(tenant_id="t2")) as found:
            assert (await found.get(PATH)).body == {"of": "t2"}
        with pytest.raises(NoTenant, match=r"erp\.visma-net-financial\.tenant_id"):
            async with erp_for(customer_event(tenant_id=None)):
                pass
    async with open_clients(erp_settings(erp, tenant_id="t2")), erp_for(customer_event(tenant_id=None)) as found:
        assert (await found.get(PATH)).body == {"of": "t2"}


async def test_a_change_and_one_that_came_too_late(erp: FakeErp) -> None:
    """A write with `if_match` changes that version of the record, and is a conflict where it is another by now."""
    books = erp.books(TENANT)
    books.put(PATH, {"name": "Ada", "city": "Oslo"})
    async with client(erp) as found:
        record = await found.get(PATH)
        changed = await found.put(PATH, {"city": "Bergen"}, if_match=record.etag)
        with pytest.raises(ErpConflict) as raised:
            await found.put(PATH, {"city": "Tromsø"}, if_match=record.etag)
        assert (await found.get(PATH)).etag == changed.etag
    assert raised.value.status == 412
    assert books.get(PATH).body == {"name": "Ada", "city": "Bergen"}  # type: ignore[union-attr]


async def test_a_record_that_is_made(erp: FakeErp) -> None:
    """A post makes a record, whose version comes back; the body may hold anything but what the message shows."""
    async with client(erp) as found:
        made = await found.post("v1/customer", {"number": "9", "name": "Ada"})
        with pytest.raises(ErpRefused) as raised:
            await found.post("v1/customer", {"name": "secret name"})
    assert (made.status, made.etag) == (201, '"1"')
    assert raised.value.body == {"message": "name one of number, id, notificationId"}
    assert "name one of" not in str(raised.value)


@pytest.mark.parametrize(
    ("status", "headers", "kind", "text"),
    [
        (400, {}, ErpRefused, "refused it with 400"),
        (403, {}, ErpRefused, "see which rights the scope gives"),
        (409, {}, ErpRefused, "refused it with 409"),
        (429, {"Retry-After": "17"}, ErpBusy, "used up for 17 seconds"),
        (500, {}, ErpUnavailable, "answered 500"),
        (503, {}, ErpUnavailable, "answered 503"),
        (408, {}, ErpUnavailable, "answered 408"),
        (304, {}, ErpRefused, "redirect"),
    ],
)
async def test_refusals(status: int, headers: Mapping[str, str], kind: type[ErpError], text: str) -> None:
    """Each status that is no success has its error, which names the request and never what was answered."""
    with pytest.raises(ErpError, match=text) as raised:
        await fetched(web.Response(status=status, headers=headers, text='{"m": "private"}'))
    assert type(raised.value) is kind
    assert f"GET {PATH}" in str(raised.value)
    assert "private" not in str(raised.value)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("17", 17.0),
        ("0", 0.0),
        ("99999", 7200.0),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
        ("soon", 60.0),
        ("-5", 60.0),
        ("\u0663", 60.0),
        (None, 60.0),
    ],
)
def test_retry_after(value: str | None, seconds: float) -> None:
    """How long a 429 asks to wait is read as seconds or a date, and bounded."""
    assert retry_after(value, NOW) == seconds


async def test_no_quota_is_left(erp: FakeErp) -> None:
    """A used-up quota says in how many seconds it is there again, as the ERP's window has it."""
    erp.gate.quota = 1
    async with client(erp) as found:
        await found.get(PATH)
        with pytest.raises(ErpBusy) as raised:
            await found.get(PATH)
    assert raised.value.retry_after == 3600 - 1_760_000_000 % 3600
    assert erp.refused(TENANT) == 1


async def test_an_answer_that_takes_too_long(erp: FakeErp) -> None:
    """A request that is not answered within its time is an error, and so is an ERP that cannot be reached."""
    erp.on_request = lambda *_: erp.gate_open.clear()
    async with client(erp, timeout=0.2) as found:
        with pytest.raises(ErpUnavailable, match=r"no answer within 0\.2 seconds"):
            await found.get(PATH)
    async with client(erp, base_url="http://127.0.0.1:1/", timeout=5) as found:
        erp.gate_open.set()
        with pytest.raises(ErpUnavailable, match="Cannot connect to host"):
            await found.get(PATH)


async def test_an_answer_that_is_too_large(erp: FakeErp) -> None:
    """No more is read of an answer than max_body allows, whether it says its size or not, packed or not."""
    erp.books(TENANT).put(PATH, {"text": "x" * 5000})
    async with client(erp, max_body=4000) as found:
        with pytest.raises(ErpUnreadable, match="larger than the 4000 bytes of max_body"):
            await found.get(PATH)
    packed = gzip.compress(b'"' + b"x" * 100_000 + b'"')
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    with pytest.raises(ErpUnreadable, match="larger"):
        await fetched(web.Response(body=packed, headers=headers), max_body=4000)
    record = await fetched(web.Response(body=packed, headers=headers))
    assert record.body == "x" * 100_000


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "", "NaN"])
async def test_an_answer_that_is_no_json(text: str) -> None:
    """What says that it is JSON and is not is an error; nothing at all is None."""
    response = web.Response(text=text, content_type="application/json")
    if not text:
        assert (await fetched(response)).body is None
        return
    with pytest.raises(ErpUnreadable, match="no JSON"):
        await fetched(response)


async def test_what_is_no_json_stays_bytes() -> None:
    """A document of another kind comes as its bytes."""
    assert (await fetched(web.Response(body=b"%PDF", content_type="application/pdf"))).body == b"%PDF"


@pytest.mark.parametrize("kind", ["broken", "large", "cut off", "slow"])
async def test_a_write_that_was_done_is_no_error(erp: FakeErp, kind: str) -> None:
    """Once the ERP has said that a write is done, nothing about the rest of its answer makes it be done again."""
    over = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=201, headers={"ETag": '"7"', "Content-Type": "application/json"})
        if kind in ("cut off", "slow"):
            response.content_length = 100
        await response.prepare(request)
        await response.write(b"x" * (5000 if kind == "large" else 10))
        if kind == "slow":
            await over.wait()
        if kind == "cut off" and request.transport is not None:
            request.transport.abort()
        return response

    async with answering(answer) as base, client(erp, base_url=base, max_body=1000, timeout=0.5) as found:
        made = await found.post("v1/customer", {})
        assert (made.status, made.etag) == (201, '"7"')
        with pytest.raises(ErpError):
            await found.get(PATH)
        over.set()


async def test_requests_are_counted(erp: FakeErp) -> None:
    """Each request is counted by its status, those for tokens too, and one without an answer as such."""
    registry = CollectorRegistry()
    erp.books(TENANT).put(PATH, {})

    def count(status: str) -> float | None:
        labels = {"publisher": "visma-net-financial", "status": status}
        return registry.get_sample_value("event_router_erp_requests_total", labels)

    async with open_clients(erp_settings(erp, timeout=0.5), metrics=ErpMetrics(registry)):
        assert count("5xx") == count("none") == 0
        async with erp_for(customer_event()) as found:
            await found.get(PATH)
            await found.get("v1/customer/2")
            erp.failing = 502
            with pytest.raises(ErpUnavailable):
                await found.get(PATH)
            erp.gate_open.clear()
            with pytest.raises(ErpUnavailable):
                await found.get(PATH)
    assert [count(status) for status in ("2xx", "404", "5xx", "none")] == [2, 1, 1, 1]
    assert registry.get_sample_value("event_router_erp_seconds_count", {"publisher": "visma-net-financial"}) == 5


async def test_another_event_loop_is_refused(erp: FakeErp) -> None:
    """A plain handler that makes an event loop of its own is refused, with what to do."""

    async def ask() -> None:
        async with erp_for(customer_event()):
            pass

    async with open_clients(erp_settings(erp)):
        with pytest.raises(ErpNotSet, match="make the handler async"):
            await asyncio.to_thread(lambda: asyncio.run(ask()))


async def test_no_cookie_is_kept(erp: FakeErp) -> None:
    """A cookie that the ERP sets for one tenant does not go along with the request of another."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Cookie", ""))
        response = web.Response()
        response.set_cookie("session", "t1")
        return response

    async with answering(answer) as base, open_clients(erp_settings(erp, base_url=base)):
        for tenant in ("t1", "t2"):
            async with erp_for(customer_event(tenant_id=tenant)) as found:
                await found.get(PATH)
    assert seen == ["", ""]


async def test_bodies_and_secrets_are_not_logged(erp: FakeErp, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing that is logged while records are fetched and changed holds a body, a token or the secret."""
    erp.books(TENANT).put(PATH, {"name": "private"})
    with caplog.at_level(logging.DEBUG):
        async with client(erp) as found:
            await found.get(PATH)
            await found.put(PATH, {"name": "private"})
    assert "private" not in caplog.text
    assert "s3cret" not in caplog.text
    assert "Bearer" not in caplog.text


class Counting:
    """A quota that lets as many requests go as it has, and writes down what it hears."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.heard: list[tuple[str, str, int]] = []

    async def acquire(self, subject: Event) -> None:
        """Let a request go while there are any."""
        self.left -= 1
        if self.left < 0:
            raise Defer(5, f"{subject.company_id} has to wait")

    async def learn(self, subject: Event, headers: Mapping[str, str], status: int) -> None:
        """Write down."""
        self.heard.append((str(subject.company_id), headers.get("x-ratelimit-remaining", ""), status))


async def test_a_quota_is_asked_before_each_request(erp: FakeErp) -> None:
    """A quota is asked, for the company, before each request, and hears each answer; what it stops is not sent."""
    quota = Counting(2)
    erp.gate.quota = 10
    async with open_clients(erp_settings(erp), quota=quota), erp_for(customer_event()) as found:
        for _ in range(2):
            await found.get(PATH)
        with pytest.raises(Defer, match="7 has to wait"):
            await found.get(PATH)
        quota.left, erp.failing = 1, 503
        with pytest.raises(ErpUnavailable):
            await found.get(PATH)
    assert quota.heard == [("7", "9", 404), ("7", "8", 404), ("7", "", 503)]
    assert len(erp.seen) == 3


async def test_a_quota_hears_of_no_answer(erp: FakeErp) -> None:
    """Where no answer comes, the quota hears that, too: it may have counted the request in vain."""
    quota = Counting(1)
    settings = erp_settings(erp, base_url="http://127.0.0.1:1/")
    async with open_clients(settings, quota=quota), erp_for(customer_event()) as found:
        with pytest.raises(ErpUnavailable):
            await found.get(PATH)
    assert quota.heard == [("7", "", 0)]


async def test_where_no_erp_is_set(erp: FakeErp) -> None:
    """Without settings, or outside a worker, the error says what to set or where to call."""
    with pytest.raises(ErpNotSet, match="open_clients"):
        async with erp_for(customer_event()):
            pass
    async with open_clients(Settings()):
        with pytest.raises(ErpNotSet, match="ROUTER_ERP__VISMA_NET_FINANCIAL__BASE_URL"):
            async with erp_for(customer_event()):
                pass
    with pytest.raises(ConfigError, match="subscription 's' wants records of visma-net-financial: set ROUTER"):
        check_set(erp_settings(erp, client_id=""), "s", "wants records of", ["visma-net-financial"])
    check_set(erp_settings(erp), "s", "wants records of", ["visma-net-financial"])


async def test_many_at_once_use_few_connections(erp: FakeErp) -> None:
    """No more requests are under way at once than `connections` allows."""
    under_way, most = 0, 0

    async def slow(_request: web.Request) -> web.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return web.Response()

    async with answering(slow) as base, client(erp, base_url=base, connections=3) as found:
        await asyncio.gather(*(found.get(PATH) for _ in range(50)))
    assert most <= 3
