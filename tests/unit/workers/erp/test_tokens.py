"""One token for each tenant, and one request for it."""

import asyncio
from collections import deque
from http import HTTPStatus

import pytest
from aiohttp import web
from support.erp import SLUG, TENANT, Clock, answering, customer_event, erp_settings
from support.waiting import eventually

from config.erp import ErpSettings
from config.settings import Settings
from workers.erp import ErpBusy, ErpUnauthorized, ErpUnavailable, ErpUnreadable, erp_for, open_clients
from workers.erp.fake import FakeErp, Options
from workers.record import Record

PATH = "v1/customer/1"


async def get(tenant: str = TENANT) -> Record:
    """Fetch a customer."""
    async with erp_for(customer_event(tenant_id=tenant)) as erp:
        return await erp.get(PATH)


async def test_one_request_however_many_wait(erp: FakeErp, clock: Clock) -> None:
    """Two hundred that wait for the token of a tenant make one request for it, and each tenant has its own."""
    for tenant in ("t1", "t2"):
        erp.books(tenant).put(PATH, {"of": tenant})
    async with open_clients(erp_settings(erp), monotonic=clock):
        found = await asyncio.gather(*(get(tenant) for _ in range(100) for tenant in ("t1", "t2")))
    assert sorted(erp.token_requests) == ["t1", "t2"]
    assert [record.body for record in found] == [{"of": "t1"}, {"of": "t2"}] * 100


async def test_a_token_is_renewed_before_it_ends(erp: FakeErp, clock: Clock) -> None:
    """A token is used until shortly before its end, and the ERP never sees one that has ended."""
    async with open_clients(erp_settings(erp), monotonic=clock):
        for moment, requests in ((0, 1), (3500, 1), (3545, 2), (3700, 2), (7100, 3)):
            clock.now = 1_760_000_000.0 + moment
            await get()
            assert len(erp.token_requests) == requests, moment
    assert HTTPStatus.UNAUTHORIZED not in {seen.status for seen in erp.seen}


async def test_a_storm_of_refused_tokens(erp: FakeErp, clock: Clock) -> None:
    """Where the ERP refuses the token of 200 requests at once, one new token is asked for, and all succeed."""
    erp.books(TENANT).put(PATH, {})
    async with open_clients(erp_settings(erp, connections=200), monotonic=clock):
        await get()
        erp.gate.revoke()
        found = await asyncio.gather(*(get() for _ in range(200)))
    assert {record.status for record in found} == {200}
    assert len(erp.token_requests) == 2


async def test_a_second_refusal_is_an_error(erp: FakeErp, clock: Clock) -> None:
    """A new token that is refused, too, is an error that says what to look at, after two tokens and no more."""
    erp.on_request = lambda *_: erp.gate.revoke()
    async with open_clients(erp_settings(erp), monotonic=clock):
        with pytest.raises(ErpUnauthorized, match="401 for a token that was just made; has the tenant approved"):
            await get()
        assert len(erp.token_requests) == 2
        with pytest.raises(ErpUnauthorized):
            await get()
    assert len(erp.token_requests) == 3


async def test_a_client_that_gets_no_token(erp: FakeErp, clock: Clock) -> None:
    """A refused client is an error that says so, in the standard's word, and never repeats the secret."""
    erp.options = Options(clients={"c1": "another"})
    async with open_clients(erp_settings(erp), monotonic=clock):
        with pytest.raises(ErpUnauthorized, match=r"no token for tenant t1: 400 \(invalid_client\)") as raised:
            await get()
    assert "s3cret" not in repr(raised.value)


@pytest.mark.parametrize(("status", "kind"), [(503, ErpUnavailable), (429, ErpBusy)])
async def test_each_who_waited_gets_an_error_of_its_own(
    erp: FakeErp, clock: Clock, status: int, kind: type[Exception]
) -> None:
    """Where the one request for a token fails, all who waited for it fail alike, with a traceback of their own."""
    erp.failing = status
    async with open_clients(erp_settings(erp), monotonic=clock):
        errors = await asyncio.gather(*(get() for _ in range(20)), return_exceptions=True)
    assert {type(error) for error in errors} == {kind}
    assert len({id(error) for error in errors}) == 20
    assert {getattr(error, "retry_after", None) for error in errors} == ({60.0} if kind is ErpBusy else {None})
    assert len(erp.token_requests) == 1


@pytest.mark.parametrize(("status", "seconds"), [(403, 10), (429, 60)])
async def test_a_refused_client_does_not_ask_for_each_event(
    erp: FakeErp, clock: Clock, status: int, seconds: int
) -> None:
    """Where a tenant gets no token, the events that wait for it do not ask one after the other, but again soon."""
    erp.failing = status
    async with open_clients(erp_settings(erp), monotonic=clock):
        for moment in (0, 1, seconds - 1):
            clock.now = 1_760_000_000.0 + moment
            with pytest.raises(ErpUnauthorized if status == 403 else ErpBusy):
                await get()
        assert erp.token_requests == deque([TENANT])
        erp.failing = None
        assert (await get("t2")).gone
        clock.now = 1_760_000_000.0 + seconds
        assert (await get()).gone
    assert erp.token_requests == deque([TENANT, "t2", TENANT])


@pytest.mark.parametrize(
    "said",
    ["<html>", "{}", '{"access_token": 5}', '{"access_token": "a\\r\\nb"}', "[" * 100_000],
    ids=["page", "nothing", "number", "lines", "deep"],
)
async def test_rubbish_for_a_token_is_not_asked_for_by_each_event(clock: Clock, said: str) -> None:
    """Where the token server answers what holds no token, events that wait ask it again soon, and not each of them."""
    asked = list[str]()

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(text=said, content_type="application/json")

    async with answering(answer) as base:
        settings = {"base_url": base, "token_url": f"{base}token", "client_id": "c1", "client_secret": "s3cret"}
        async with open_clients(Settings(erp={SLUG: ErpSettings(**settings)}), monotonic=clock):
            for moment in (0, 1, 9, 10):
                clock.now = 1_760_000_000.0 + moment
                with pytest.raises(ErpUnreadable):
                    await get()
    assert asked == ["/token", "/token"]


@pytest.mark.parametrize(
    "lives",
    ["0", "-1", "null", "true", '"soon"', '"NaN"', "[]", "{}", "1" + "0" * 400, '"3600"', "0.001"],
    ids=lambda lives: lives[:10],
)
async def test_however_long_a_token_is_said_to_live(clock: Clock, lives: str) -> None:
    """Whatever stands for the life of a token, it is used, and no number ends the request that waits for it."""
    asked = list[str]()

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        text = f'{{"access_token": "t", "expires_in": {lives}}}' if request.path == "/token" else "{}"
        return web.Response(text=text, content_type="application/json")

    async with answering(answer) as base:
        settings = {"base_url": base, "token_url": f"{base}token", "client_id": "c1", "client_secret": "s3cret"}
        async with open_clients(Settings(erp={SLUG: ErpSettings(**settings)}), monotonic=clock):
            found = await asyncio.gather(*(get() for _ in range(20)))
    assert [record.status for record in found] == [200] * 20
    assert asked.count("/token") == 1


async def test_a_token_is_used_to_its_end(erp: FakeErp, clock: Clock) -> None:
    """Where the token server is away when a token is renewed, the old one is used while it is good."""

    def fail_tokens(_method: str, _path: str) -> None:
        erp.failing = None

    async with open_clients(erp_settings(erp), monotonic=clock):
        await get()
        clock.now += 3545
        erp.failing, erp.on_request = 503, fail_tokens
        assert (await get()).gone
        clock.now += 60
        erp.failing = 503
        with pytest.raises(ErpUnavailable):
            await get()
    assert len(erp.token_requests) == 3


async def test_who_leaves_takes_no_token_from_the_others(erp: FakeErp, clock: Clock) -> None:
    """The first of those who wait for a token is cancelled, and the others get it all the same."""
    erp.gate_open.clear()
    async with open_clients(erp_settings(erp), monotonic=clock):
        first, second = asyncio.create_task(get()), asyncio.create_task(get())
        await eventually(lambda: erp.token_requests)
        first.cancel()
        erp.gate_open.set()
        assert (await second).gone
        assert first.cancelled()
    assert len(erp.token_requests) == 1


async def test_clients_close_while_a_token_is_asked_for(erp: FakeErp, clock: Clock) -> None:
    """A worker that stops waits for no token."""
    erp.gate_open.clear()
    async with open_clients(erp_settings(erp), monotonic=clock):
        waiting = asyncio.create_task(get())
        await eventually(lambda: erp.token_requests)
    with pytest.raises(asyncio.CancelledError):
        await waiting
