"""The fake ERP behaves as the facts say that the real one does."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from support.erp import Clock

from workers.erp.fake import FakeErp, Options, serving

FORM = {"grant_type": "client_credentials", "client_id": "c1", "client_secret": "s", "scope": "x", "tenant_id": "t1"}


class Caller:
    """Calls the ERP as a tenant's client."""

    def __init__(self, erp: FakeErp, session: aiohttp.ClientSession) -> None:
        self.erp = erp
        self.session = session
        self.token = ""

    async def sign_in(self, **changes: str) -> tuple[int, Any]:
        """Ask for a token, and use it from now on."""
        async with self.session.post(self.erp.token_url, data=FORM | changes) as response:
            body = await response.json()
            self.token = body.get("access_token", "")
            return response.status, body

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        """Send a request; return status, headers and body."""
        known = {name.replace("_", "-"): text for name, text in headers.items()}
        known["Authorization"] = f"Bearer {self.token}"
        url = f"{self.erp.base_url}{path}"
        async with self.session.request(method, url, json=body, headers=known, allow_redirects=False) as response:
            return response.status, response.headers, await response.json(content_type=None)


@pytest.fixture
async def caller(clock: Clock) -> AsyncIterator[Caller]:
    """Yield a caller of a fake ERP that serves."""
    async with serving(FakeErp(Options(quota=10), clock)) as erp, aiohttp.ClientSession() as session:
        yield Caller(erp, session)


async def test_tokens_end(caller: Caller, clock: Clock) -> None:
    """A token is good for its tenant until its time is over; without one nothing is answered."""
    assert (await caller.ask("GET", "v1/customer/1"))[0] == 401
    status, body = await caller.sign_in()
    assert (status, body["expires_in"], body["token_type"]) == (200, 3600, "Bearer")
    assert (await caller.ask("GET", "v1/customer/1"))[0] == 404
    clock.now += 3600
    assert (await caller.ask("GET", "v1/customer/1"))[0] == 401


async def test_who_gets_no_token(caller: Caller) -> None:
    """A request for a token that lacks something, or has another secret, is refused in the standard's words."""
    assert await caller.sign_in(tenant_id="") == (400, {"error": "invalid_request"})
    assert await caller.sign_in(grant_type="password") == (400, {"error": "invalid_request"})
    assert await caller.sign_in(client_secret="") == (400, {"error": "invalid_client"})
    caller.erp.options = Options(clients={"c1": "s"})
    assert await caller.sign_in(client_secret="other") == (400, {"error": "invalid_client"})
    assert await caller.sign_in(client_id="c2") == (400, {"error": "invalid_client"})
    assert (await caller.sign_in())[0] == 200


async def test_the_quota_of_a_company(caller: Caller, clock: Clock) -> None:
    """Each answer says what is left; beyond it 429 says when it is there again, for this company alone."""
    clock.now = 3600.0 * 1000 + 3540
    await caller.sign_in()
    for left in range(9, -1, -1):
        status, headers, _ = await caller.ask("GET", "v1/customer/1")
        assert (status, headers["X-RateLimit-Remaining"]) == (404, str(left))
    assert headers["X-RateLimit-Limit"] == "10"
    assert headers["X-RateLimit-Reset"] == "60"
    assert headers["X-RateLimit-Policy"] == "10;w=3600"
    status, headers, _ = await caller.ask("GET", "v1/customer/1")
    assert (status, headers["Retry-After"], headers["X-RateLimit-Remaining"]) == (429, "60", "0")
    await caller.sign_in(tenant_id="t2")
    assert (await caller.ask("GET", "v1/customer/1"))[0] == 404
    await caller.sign_in()
    assert (await caller.ask("GET", "v1/customer/1"))[0] == 429
    clock.now += 60
    assert (await caller.ask("GET", "v1/customer/1"))[0] == 404
    assert caller.erp.refused("t1") == 2


async def test_versions(caller: Caller) -> None:
    """A record has a version, which each change changes; a write for another version is refused."""
    await caller.sign_in()
    status, headers, _ = await caller.ask("POST", "v1/customer", {"number": "1", "name": "Ada"})
    assert (status, headers["Location"]) == (201, "/v1/customer/1")
    etag = headers["ETag"]
    assert (await caller.ask("GET", "v1/customer/1"))[1]["ETag"] == etag
    status, headers, _ = await caller.ask("PUT", "v1/customer/1", {"name": "Bo"}, If_Match=etag)
    assert (status, headers["ETag"] != etag) == (204, True)
    assert (await caller.ask("PUT", "v1/customer/1", {"name": "Cy"}, If_Match=etag))[0] == 412
    assert (await caller.ask("GET", "v1/customer/1"))[2] == {"number": "1", "name": "Bo"}
    assert (await caller.ask("PUT", "v1/customer/2", {}))[0] == 404
    assert (await caller.ask("POST", "v1/customer", {"number": "1"}))[0] == 409


async def test_a_deleted_record(caller: Caller) -> None:
    """Of a deleted record there is a 404, also where records are made up."""
    caller.erp.options = Options(invent=True)
    await caller.sign_in()
    assert (await caller.ask("GET", "v1/customer/1"))[2] == {"number": "1", "name": "Customer 1"}
    caller.erp.books("t1").delete("v1/customer/1")
    assert (await caller.ask("GET", "v1/customer/1"))[0] == 404


async def test_a_sweep(caller: Caller, clock: Clock) -> None:
    """A sweep lists by the time of the last change, page after page; each item says how many there are."""
    await caller.sign_in()
    books = caller.erp.books("t1")
    for number in range(5):
        clock.now += 1
        books.put(f"v1/customer/{number}", {"number": str(number)})
    since = "2025-10-09T08:53:23.000"
    query = f"v1/customer?lastModifiedDateTime={since}&lastModifiedDateTimeCondition=%3E%3D&pageSize=2&pageNumber="
    pages = [(await caller.ask("GET", f"{query}{page}"))[2] for page in (1, 2, 3)]
    assert [[item["number"] for item in page] for page in pages] == [["2", "3"], ["4"], []]
    assert pages[0][0]["metadata"] == {"totalCount": 3, "maxPageSize": 5000}
    assert pages[0][0]["lastModifiedDateTime"] == since
    (later,) = [(await caller.ask("GET", query.replace("%3E%3D", "%3E") + "1"))[2]]
    assert [item["number"] for item in later] == ["3", "4"]
    assert (await caller.ask("GET", "v1/customer?pageNumber=0"))[0] == 400
    assert (await caller.ask("GET", "v1/customer?lastModifiedDateTime=soon"))[0] == 400


async def test_pages_change_under_the_reader(caller: Caller) -> None:
    """What is deleted between two pages moves what is behind it: a reader of pages misses a record."""
    await caller.sign_in()
    books = caller.erp.books("t1")
    for number in range(4):
        books.put(f"v1/customer/{number}", {"number": str(number)})

    def change(_method: str, path: str) -> None:
        if len(caller.erp.seen) == 1:
            books.delete("v1/customer/0")

    caller.erp.on_request = change
    pages = [(await caller.ask("GET", f"v1/customer?pageSize=2&pageNumber={page}"))[2] for page in (1, 2)]
    assert [item["number"] for page in pages for item in page] == ["0", "1", "3"]


async def test_background_answers(caller: Caller, clock: Clock) -> None:
    """A request in the background is answered with 202 and an id, its state can be read, its content for 24 hours."""
    await caller.sign_in()
    status, _, body = await caller.ask("GET", "v1/customer/1", erp_api_background="subscription")
    assert status == 202
    path = f"v1/background/{body['id']}"
    assert body["stateLocation"] == f"{caller.erp.base_url}{path}"
    assert (await caller.ask("GET", path))[2]["status"] == "Started"
    assert (await caller.ask("GET", f"{path}/content"))[0] == 404
    caller.erp.background.finish(body["id"], 200, {"name": "Ada"})
    state = (await caller.ask("GET", path))[2]
    assert (state["status"], state["statusCode"], state["hasResponseContent"]) == ("Finished", 200, True)
    assert (await caller.ask("GET", f"{path}/content"))[2] == {"name": "Ada"}
    await caller.sign_in(tenant_id="t2")
    assert (await caller.ask("GET", path))[0] == 404
    clock.now += 24 * 3600
    await caller.sign_in()
    assert (await caller.ask("GET", path))[0] == 404


async def test_feedback(caller: Caller) -> None:
    """Feedback on a notification is taken, and can be looked at."""
    await caller.sign_in()
    said = {"notificationId": "n1", "source": "us", "description": "done", "isSuccess": True}
    assert (await caller.ask("POST", "v1/webhooknotificationfeedback", said))[0] == 201
    assert list(caller.erp.feedback) == [("t1", said)]


async def test_it_misbehaves_as_asked(caller: Caller) -> None:
    """It fails, leads elsewhere and answers under `api/`, too."""
    await caller.sign_in()
    caller.erp.redirects["v1/customer/1"] = "http://127.0.0.1:1/"
    status, headers, _ = await caller.ask("GET", "v1/customer/1")
    assert (status, headers["Location"]) == (302, "http://127.0.0.1:1/")
    assert (await caller.ask("GET", "api/v3/SalesOrders/SO/1"))[0] == 404
    assert caller.erp.seen[-1].path == "v3/SalesOrders/SO/1"
    caller.erp.failing = 503
    assert (await caller.ask("GET", "v1/customer/2"))[0] == 503
