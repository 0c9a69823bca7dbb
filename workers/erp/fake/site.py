"""The fake ERP over HTTP: the token server, and the interface behind its gate."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from workers.erp.fake.fake_erp import FakeErp, Seen
from workers.erp.fake.records import Reply, answer

__all__ = ["make_site"]

_PROBLEM = "application/problem+json"


def make_site(erp: FakeErp) -> web.Application:
    """Return the application."""
    site = _Site(erp)
    app = web.Application()
    app.router.add_post("/connect/token", site.token)
    app.router.add_route("*", "/{path:.*}", site.interface)
    return app


class _Site:
    def __init__(self, erp: FakeErp) -> None:
        self._erp = erp

    async def token(self, request: web.Request) -> web.Response:
        """Give a token for a tenant by the client's secret."""
        erp, form = self._erp, await request.post()
        tenant, client = str(form.get("tenant_id", "")), str(form.get("client_id", ""))
        erp.token_requests.append(tenant)
        await self._wait()
        if erp.failing:
            return _respond(Reply(erp.failing))
        if form.get("grant_type") != "client_credentials" or not form.get("scope") or not tenant:
            return _respond(Reply(HTTPStatus.BAD_REQUEST, {"error": "invalid_request"}))
        if not erp.options.knows(client, str(form.get("client_secret", ""))):
            return _respond(Reply(HTTPStatus.BAD_REQUEST, {"error": "invalid_client"}))
        token = erp.gate.issue(tenant, client)
        body = {"access_token": token, "expires_in": int(erp.gate.token_seconds), "token_type": "Bearer"}
        return _respond(Reply(HTTPStatus.OK, body))

    async def interface(self, request: web.Request) -> web.Response:
        """Answer a request for records, once its token and its quota let it pass."""
        path = request.raw_path.partition("?")[0].removeprefix("/").removeprefix("api/")
        data = await request.read()
        self._erp.on_request(request.method, path)
        await self._wait()
        tenant, reply, headers = self._judge(request, path, data)
        self._erp.seen.append(Seen(request.method, path, tenant, reply.status))
        return _respond(reply, headers)

    def _judge(self, request: web.Request, path: str, data: bytes) -> tuple[str, Reply, Mapping[str, str]]:
        erp = self._erp
        if erp.failing:
            return "", Reply(erp.failing), {}
        if path in erp.redirects:
            return "", Reply(HTTPStatus.FOUND, None, {"Location": erp.redirects[path]}), {}
        entrant = erp.gate.admit(request.headers.get("Authorization", ""))
        if entrant is None:
            return "", Reply(HTTPStatus.UNAUTHORIZED), {}
        window = erp.gate.count(entrant)
        if window.exceeded:
            return entrant.tenant, Reply(HTTPStatus.TOO_MANY_REQUESTS), window.headers()
        try:
            body = msgspec.json.decode(data) if data else None
        except msgspec.DecodeError:
            return entrant.tenant, Reply(HTTPStatus.BAD_REQUEST, {"message": "no JSON"}), window.headers()
        return entrant.tenant, answer(erp, entrant.tenant, request, path, body), window.headers()

    async def _wait(self) -> None:
        await self._erp.gate_open.wait()
        if self._erp.options.delay:
            await asyncio.sleep(self._erp.options.delay)


def _respond(reply: Reply, headers: Mapping[str, str] | None = None) -> web.Response:
    found: dict[str, Any] = {**(headers or {}), **reply.headers}
    if reply.body is None:
        return web.Response(status=reply.status, headers=found)
    kind = "application/json" if reply.status < HTTPStatus.BAD_REQUEST else _PROBLEM
    return web.Response(status=reply.status, body=msgspec.json.encode(reply.body), content_type=kind, headers=found)
