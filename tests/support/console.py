"""A console on a store, and a browser without eyes that signs in to it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from html import unescape
from typing import Any
from urllib.parse import urlencode

from aiohttp import ClientResponse, ClientSession, CookieJar
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from support.waiting import eventually

from config.settings import OpsSettings, Settings
from router.console.console import Console
from router.console.routes import mount
from router.events.catalogue import Catalogue
from router.process.ops import OpsServer
from router.store.client import Store

__all__ = ["TOKEN", "Visitor", "picks", "serving", "visiting"]

TOKEN = "a-token-of-the-tests"
OPS = SecretStr("an-operations-token-of-the-tests")
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


class Visitor:
    """Asks for pages and fills in their forms, as a browser of one person does."""

    def __init__(self, console: Console, client: ClientSession, origin: str) -> None:
        self.console = console
        self.client = client
        self.origin = origin

    async def get(self, path: str, *, status: int = 200, **query: str) -> str:
        """Return a page, which is to have this status."""
        response = await self.client.get(f"{path}?{urlencode(query)}" if query else path, allow_redirects=False)
        text = await response.text()
        assert response.status == status, text
        return text

    async def post(self, path: str, fields: Any = (), *, csrf: str | None = None, **headers: str) -> ClientResponse:
        """Send a form, with the token of the session unless another is given."""
        pairs = [*(fields.items() if isinstance(fields, dict) else fields)]
        pairs.append(("csrf", await self.csrf() if csrf is None else csrf))
        sent = {"Origin": self.origin, **headers}
        data = urlencode(pairs).encode()
        sent["Content-Type"] = "application/x-www-form-urlencoded"
        return await self.client.post(path, data=data, headers=sent, allow_redirects=False)

    async def csrf(self) -> str:
        """Return what the forms of this session carry; empty for nobody."""
        found = _CSRF.search(await (await self.client.get("/audit")).text())
        return found[1] if found else ""

    async def sign_in(self, token: str = TOKEN, **fields: str) -> ClientResponse:
        """Send the form of the first page."""
        return await self.post("/login", {"token": token, **fields}, csrf="")

    async def follow(self, response: ClientResponse) -> str:
        """Return the page that a change leads to, once the change has ended."""
        assert response.status == 303, await response.text()
        pages = list[str]()

        async def ended() -> bool:
            pages.append(await self.get(response.headers["Location"]))
            return 'http-equiv="refresh"' not in pages[-1]

        await eventually(ended)
        return pages[-1]


@asynccontextmanager
async def visiting(
    store: Store, catalogue: Catalogue, *, signed_in: bool = True, settings: Settings | None = None
) -> AsyncIterator[Visitor]:
    """Yield a visitor of the console of a store."""
    console = Console.of(settings or Settings(), catalogue, store, TOKEN)
    async with (
        serving(console) as origin,
        ClientSession(origin, cookie_jar=CookieJar(unsafe=True)) as client,
    ):
        visitor = Visitor(console, client, origin)
        if signed_in:
            assert (await visitor.sign_in(name="kari")).status == 303
        yield visitor


@asynccontextmanager
async def serving(console: Console) -> AsyncIterator[str]:
    """Run a console on an operations port as its process does; yield where it is."""

    async def readiness() -> dict[str, bool | str]:
        return {}

    mounted = partial(mount, console)
    settings = OpsSettings(port=0, token=OPS)
    ops = OpsServer(settings, readiness, CollectorRegistry(), role="console", name="host-1", extend=mounted)
    try:
        yield f"http://127.0.0.1:{await ops.start()}"
    finally:
        await console.jobs.stop()
        await ops.stop()


def picks(text: str) -> list[str]:
    """Return what the boxes of a page stand for."""
    return [unescape(value) for value in re.findall(r'name="pick" value="([^"]+)"', text)]
