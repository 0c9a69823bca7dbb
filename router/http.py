"""aiohttp's low-level server with the limits a public endpoint needs: slow headers, slow bodies, large bodies.

The application layer (routing tables, middlewares, match info) is left out: there is one route, and it is hot.
"""

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError
from structlog.stdlib import BoundLogger

from router.problems import problem

__all__ = ["BadBody", "BodyTooLarge", "BodyTooSlow", "Server", "read_body"]


class BadBody(Exception):
    """The body could not be read; `status` and the message are for the sender."""

    status = 400


class BodyTooLarge(BadBody):
    """The body is over the limit."""

    status = 413


class BodyTooSlow(BadBody):
    """The body did not arrive in time."""

    status = 408


class _Protocol(web.RequestHandler):
    """One connection; closes it when a request's headers take longer than the time allowed."""

    __slots__ = ("_header_timeout", "_header_timer", "_log")

    def __init__(self, manager: "Server", *, header_timeout: float, log: BoundLogger, **options: Any) -> None:
        super().__init__(manager, **options)
        self._header_timeout = header_timeout
        self._header_timer: asyncio.TimerHandle | None = None
        self._log = log

    def data_received(self, data: bytes) -> None:
        """Feed the parser; start the clock when that was the beginning of a request and not yet all its headers."""
        super().data_received(data)
        if self._waiter is not None and not self._waiter.done():
            if self._header_timer is None:
                self._header_timer = self._loop.call_later(self._header_timeout, self._headers_late)
        elif self._header_timer is not None:
            self._stop_header_timer()
        if self._current_request is not None and self._messages:
            self._end_broken_body(self._current_request)

    def _end_broken_body(self, request: web.BaseRequest) -> None:
        """Tell the reader of a body that its framing broke; the parser only queues the error behind the request."""
        if not isinstance(self._messages[-1][0], RawRequestMessage) and not request.content.is_eof():
            request.content.set_exception(web.RequestPayloadError("the framing of the body is broken"))

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the timer with the connection."""
        self._stop_header_timer()
        super().connection_lost(exc)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what is not HTTP (or a fault of ours) with a problem document, and close the connection."""
        del request, message
        if status < 500:  # noqa: PLR2004 - the classes of HTTP statuses
            self._log.info("request_malformed", error=type(exc).__name__)
            return problem(status, "the request is not well-formed HTTP", close=True)
        self._log.error("request_failed", exc_info=exc)
        return problem(503, "the request could not be handled; try again later", close=True)

    def _headers_late(self) -> None:
        self._header_timer = None
        self._log.info("headers_too_slow", limit=self._header_timeout)
        self.force_close()

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None


class Server(web.Server):
    """Makes a connection handler for each connection; times in seconds."""

    def __init__(self, handler: Any, *, header_timeout: float, keepalive: float, log: BoundLogger) -> None:
        super().__init__(handler)
        self._options: dict[str, Any] = {
            "header_timeout": header_timeout,
            "keepalive_timeout": keepalive,
            "lingering_time": 2.0,
            "access_log": None,
            "auto_decompress": False,
            "log": log,
        }

    def __call__(self) -> web.RequestHandler:
        """Return the handler of a new connection."""
        return _Protocol(self, loop=self._loop, **self._options)


async def read_body(request: web.BaseRequest, limit: int, timeout: float) -> bytes:  # noqa: ASYNC109 - bounds a read
    """Return the whole body of at most `limit` bytes, read within `timeout` seconds; raises BadBody.

    The limit holds whether or not the sender announced a length. `Expect: 100-continue` is honoured.
    """
    if (request.content_length or 0) > limit:
        raise BodyTooLarge(f"the body is over {limit} bytes")
    try:
        if request.content.is_eof():
            body = request.content.read_nowait()
        else:
            async with asyncio.timeout(timeout):
                body = await _read_on(request, limit)
    except TimeoutError:
        raise BodyTooSlow(f"the body did not arrive within {timeout:g} seconds") from None
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError) as error:
        raise BadBody("the body ended early or is not well-formed") from error
    if len(body) > limit:
        raise BodyTooLarge(f"the body is over {limit} bytes")
    return body


async def _read_on(request: web.BaseRequest, limit: int) -> bytes:
    """Read what is still to come, and stop as soon as it is over the limit."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    chunks: list[bytes] = []
    size = 0
    while size <= limit and (chunk := await request.content.readany()):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)
