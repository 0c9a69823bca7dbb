"""One HTTP exchange: bounded in time and size, without redirects, cookies or proxies but the one of the settings."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import aiohttp
import msgspec
from prometheus_client import CollectorRegistry
from yarl import URL

from config.erp import ErpSettings
from config.errors import described
from workers.erp.errors import ErpUnavailable, ErpUnreadable
from workers.erp.metrics import ErpMetrics, Observed
from workers.outgoing.session import open_session

__all__ = ["Answer", "Transport", "open_transport"]

_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered; names of `headers` match in any case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)

    @property
    def kind(self) -> str:
        """The media type, in lower case."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def parsed(self) -> Any:
        """Return the content: parsed where it is JSON, None where there is none; raises ErpUnreadable."""
        if not self.content:
            return None
        if self.kind and not self.kind.endswith("json"):
            return self.content
        try:
            return msgspec.json.decode(self.content)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            raise ErpUnreadable(f"an answer of {len(self.content)} bytes is no JSON, although it says so") from None


class Transport:
    """Sends requests over connections of its own."""

    def __init__(self, session: aiohttp.ClientSession, settings: ErpSettings, observed: Observed) -> None:
        self._session = session
        self._observed = observed
        self._max_body = settings.max_body
        self._timeout = settings.timeout
        self._proxy = _proxy_of(settings)

    async def send(self, method: str, url: URL, headers: Mapping[str, str], data: bytes | None = None) -> Answer:
        """Send one request and read its answer; raises ErpUnavailable, ErpUnreadable."""
        began, status = self._observed.began(), None
        about = f"{method} {url.with_query(None)}"
        request = self._session.request(method, url, headers=headers, data=data, allow_redirects=False, **self._proxy)
        try:
            async with request as response:
                content = await self._content(response, about)
                status = response.status
                return Answer(status, response.headers, content)
        except TimeoutError:
            raise ErpUnavailable(f"{about}: no answer within {self._timeout:g} seconds") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ErpUnavailable(f"{about}: {described(error)}") from None
        finally:
            self._observed.ended(began, status)

    async def _content(self, response: aiohttp.ClientResponse, about: str) -> bytes:
        """Return what was answered; nothing of a write that was done, if that cannot be read: nobody may repeat it."""
        try:
            return await self._read(response, about)
        except (ErpUnreadable, TimeoutError, aiohttp.ClientError, OSError):
            if response.method == "GET" or not is_success(response.status):
                raise
            return b""

    async def _read(self, response: aiohttp.ClientResponse, about: str) -> bytes:
        content = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK):
            content += chunk
            if len(content) > self._max_body:
                response.close()
                raise ErpUnreadable(f"{about}: the answer is larger than the {self._max_body} bytes of max_body")
        return bytes(content)


@asynccontextmanager
async def open_transport(settings: ErpSettings, observed: Observed | None = None) -> AsyncIterator[Transport]:
    """Yield what sends the requests to one ERP; nothing is connected before the first."""
    async with open_session(aiohttp.TCPConnector(limit=settings.connections), settings.timeout) as session:
        yield Transport(session, settings, observed or Observed(ErpMetrics(CollectorRegistry()), ""))


def _proxy_of(settings: ErpSettings) -> dict[str, Any]:
    """Return the proxy as aiohttp takes it, its user apart from its address: that stands in messages."""
    if settings.proxy is None:
        return {}
    url = URL(settings.proxy.get_secret_value())
    login = aiohttp.encode_basic_auth(url.user, url.password or "", "utf-8") if url.user else None
    # aiohttp makes of this header of the proxy its Proxy-Authorization, with CONNECT and without.
    return {"proxy": url.with_user(None), "proxy_headers": {"Authorization": login} if login else None}


def is_success(status: int) -> bool:
    """Tell whether what was asked for was done."""
    return HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES


def is_redirect(status: int) -> bool:
    """Tell whether an answer leads elsewhere, where nobody goes."""
    return HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST
