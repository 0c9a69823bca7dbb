"""aiohttp's low-level server with the limits that a public endpoint needs: on size, and on slowness of every kind.

The application layer (routing tables, middlewares, match info) is left out: there is one route, and it is hot.
"""

import asyncio
from typing import Any, cast

from aiohttp import web
from aiohttp.http import HttpVersion10, HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import _ErrInfo
from structlog.stdlib import BoundLogger

from router.problems import problem

__all__ = ["BadBody", "BodyTooLarge", "BodyTooSlow", "Server", "read_body"]

_VERSIONS = (HttpVersion10, HttpVersion11)
_LOOK = 0.02  # seconds between two looks at requests that are to end


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
    """One connection; ends it when a request's headers, or the sender's reading of answers, take too long."""

    __slots__ = ("_header_timeout", "_header_timer", "_log", "_stall_timer")

    def __init__(self, manager: "Server", *, header_timeout: float, log: BoundLogger, **options: Any) -> None:
        super().__init__(manager, **options)
        self._header_timeout = header_timeout
        self._header_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._log = log

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Have any answer that the sender does not take told to `pause_writing`, not only a large one."""
        super().connection_made(transport)
        cast("asyncio.WriteTransport", transport).set_write_buffer_limits(high=0)

    def pause_writing(self) -> None:
        """Start the clock for a sender that does not read: closing waits for it, and it could keep us for ever."""
        super().pause_writing()
        self._stall_timer = self._loop.call_later(self._keepalive_timeout, self._stalled, self.transport)

    def resume_writing(self) -> None:
        """Stop that clock: everything was taken."""
        super().resume_writing()
        self._stop_stall_timer()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; start the clock when that was the beginning of a request and not yet all its headers."""
        self._feed(data)
        self._judge_messages()
        if self._waiter is not None and not self._waiter.done():
            if self._header_timer is None:
                self._header_timer = self._loop.call_later(self._header_timeout, self._headers_late)
        elif self._header_timer is not None:
            self._stop_header_timer()
        if self._current_request is not None and self._messages:
            self._end_broken_body(self._current_request)

    def _feed(self, data: bytes) -> None:
        """Feed the parser, also while closing: the body of the request under way is still to come."""
        ends_after_this = self._close and self._current_request is not None
        if ends_after_this:
            self._close = False
        super().data_received(data)
        self._close = self._close or ends_after_this

    def _judge_messages(self) -> None:
        """Refuse what says it is another HTTP: the parser takes it for one of ours, whose answer would say the same.

        What offers another protocol is answered and the connection closed, for the parser drops what came behind it.
        """
        for place, (message, payload) in enumerate(self._messages):
            if isinstance(message, _ErrInfo):
                continue
            if message.version not in _VERSIONS:
                refused = _ErrInfo(400, BadHttpMessage("a version of HTTP that is not spoken here"), "")
                self._messages[place] = (refused, EMPTY_PAYLOAD)
            elif message.upgrade and not message.should_close:
                self._messages[place] = (message._replace(should_close=True), payload)

    def _end_broken_body(self, request: web.BaseRequest) -> None:
        """Tell the reader of a body that its framing broke; the parser only queues the error behind the request."""
        if not isinstance(self._messages[-1][0], RawRequestMessage) and not request.content.is_eof():
            request.content.set_exception(web.RequestPayloadError("the framing of the body is broken"))

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the timers with the connection."""
        self._stop_header_timer()
        self._stop_stall_timer()
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

    def _stalled(self, transport: asyncio.Transport | None) -> None:
        self._log.info("answers_not_taken", limit=self._keepalive_timeout)
        if transport is not None:
            transport.abort()

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None


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

    async def finish(self, grace: float) -> None:
        """Wait up to `grace` seconds for the requests under way to be answered; their bodies may still be coming."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + grace
        while any(map(_is_busy, self.connections)) and clock() < deadline:  # noqa: ASYNC110 - aiohttp tells nobody
            await asyncio.sleep(_LOOK)

    def __call__(self) -> web.RequestHandler:
        """Return the handler of a new connection."""
        return _Protocol(self, loop=self._loop, **self._options)


def _is_busy(connection: web.RequestHandler) -> bool:
    return connection._current_request is not None  # noqa: SLF001


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
