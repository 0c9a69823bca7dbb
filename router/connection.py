"""One connection of a sender: HTTP/1.1 (RFC 9112) between aiohttp's parser and the application, and no layer more.

Requests are taken up one at a time, in their order. One that has come whole is answered without a task, a stream or a
timer of its own; that is what makes ingress fast. Each way of being slow has its time: for headers, for a body, for the
next request, for taking an answer.
"""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser, HttpVersion10, HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from config.settings import IngressSettings
from router import logs
from router.body import BadBody, Body, BodyTooSlow
from router.deadline import Deadline
from router.response import CONTINUE, Response

if TYPE_CHECKING:
    from router.server import Server

__all__ = ["Application", "Connection", "Malformed"]

log = logs.get("ingress")

_VERSIONS = (HttpVersion10, HttpVersion11)
_QUEUED = 32  # requests of one connection that are parsed ahead
_READ_BUFFER = 1 << 20  # bytes: more than one read brings, so that the parser never pauses within a body
_LINGER = 2.0  # seconds for what a refused sender still sends: closing at once could destroy the answer on its way


class Malformed(Exception):
    """What came is no HTTP that is spoken here."""


class Application(Protocol):
    """What answers requests. What it raises comes back to it by `refuse`."""

    def find(self, head: RawRequestMessage, connection: "Connection") -> Any:
        """Return the door that a request is for."""

    def admit(self, head: RawRequestMessage) -> None:
        """Raise where the body of a request is not even wanted."""

    def accept(self, door: Any, head: RawRequestMessage, body: bytes, connection: "Connection") -> None:
        """Take a whole request; see to it that the connection's `answer` or `fail` is called once, now or later."""

    def refuse(self, error: Exception, door: Any, connection: "Connection") -> Response:
        """Return the answer to a request that failed; `door` is None where it was not found."""


class Connection(BaseProtocol):
    """Reads requests, hands them to the application, and writes its answers."""

    __slots__ = (
        "_application",
        "_body",
        "_broken",
        "_deadline",
        "_door",
        "_ending",
        "_head",
        "_limits",
        "_owner",
        "_payload",
        "_queue",
        "_requests",
        "_taking",
    )

    def __init__(self, owner: "Server", application: Application, limits: IngressSettings) -> None:
        loop = asyncio.get_running_loop()
        self._requests: HttpRequestParser = HttpRequestParser(
            self, loop, _READ_BUFFER, auto_decompress=False, max_msg_queue_size=_QUEUED
        )
        super().__init__(loop, self._requests)
        self._owner = owner
        self._application = application
        self._limits = limits
        self._deadline = Deadline(loop)
        self._queue: deque[tuple[RawRequestMessage, StreamReader]] = deque()
        self._head: RawRequestMessage | None = None  # of the request under way
        self._payload: StreamReader = EMPTY_PAYLOAD
        self._door: Any = None
        self._body: Body | None = None  # while it is still coming
        self._broken: Exception | None = None  # no more requests can be read, and why
        self._taking = False
        self._ending = False

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return self._head is not None

    @property
    def peer(self) -> str:
        """The address at the other end, if it is still there."""
        address = self.transport.get_extra_info("peername") if self.transport is not None else None
        return str(address[0]) if address else ""

    # What the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a first request."""
        super().connection_made(transport)
        self._owner.opened(self)
        self._deadline.set(self._limits.keepalive, self._silent)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget everything; a request that is whole is seen through all the same."""
        super().connection_lost(exc)
        self._deadline.stop()
        self._queue.clear()
        self._ending = True
        if self._body is not None:
            self.fail(BadBody())
        self._owner.closed(self)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and take up what came of it."""
        if self._ending or self._broken is not None:
            return
        try:
            messages, _, _ = self._requests.feed_data(data)
        except HttpProcessingError as error:
            messages = []
            self._broken = Malformed(type(error).__name__)
        if messages:
            self._queue.extend(messages)
            if len(self._queue) >= _QUEUED:
                self._pause_reading_for_buffer()
        if self._body is not None:
            self._read_body(self._body)
        if self._head is None and not self._taking:
            self._take_up()
            if not messages and not self.busy and not self._ending:
                self._deadline.bring_forward(self._limits.header_timeout, self._headers_late)

    def eof_received(self) -> bool:
        """Answer what is whole, for nothing more will come, and close; returns whether to stay open for that."""
        if self._broken is None:
            self._broken = EOFError()
        if self._body is not None:
            self.fail(BadBody())
        return self._head is not None and not self._ending

    def resume_writing(self) -> None:
        """Go on: the answers were taken."""
        super().resume_writing()
        self._take_up()

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - the parser calls it so
        """Read on, if reading was ever paused: the parser says this at the end of each body."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    # From one request to the next

    def wind_down(self) -> None:
        """Close as soon as no request is under way."""
        if self._head is None and not self._ending:
            self._end()

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        if self.transport is not None:
            self.transport.abort()

    def _take_up(self) -> None:
        """Take up requests until one is under way, or none is left."""
        self._taking = True  # what is answered at once must not begin the next within its own beginning
        while self._head is None and self._queue and not self._ending and not self._paused:
            self._begin(*self._queue.popleft())
            if self._buffer_paused and len(self._queue) <= _QUEUED // 2:
                self._read_on()
        self._taking = False
        if self._broken is not None and self._head is None and not self._queue and not self._ending:
            self._end_broken(self._broken)

    def _read_on(self) -> None:
        """Have the parser go on where it stopped because the queue was full."""
        self.data_received(b"")
        if len(self._queue) < _QUEUED:
            self._resume_reading_for_buffer()

    def _begin(self, head: RawRequestMessage, payload: StreamReader) -> None:
        self._requests.message_consumed()
        self._owner.requests_count += 1
        self._deadline.clear()
        self._head = head
        self._payload = payload
        try:
            _judge_version(head)
            self._door = door = self._application.find(head, self)
            self._application.admit(head)
            body = Body(head, payload, self._limits.max_body)
            if (whole := body.read()) is None:
                self._wait_for(body, head)
            else:
                self._application.accept(door, head, whole, self)
        except Exception as error:  # noqa: BLE001 - whatever it is, the sender gets an answer
            self.fail(error)

    def _wait_for(self, body: Body, head: RawRequestMessage) -> None:
        self._body = body
        self._deadline.set(self._limits.body_timeout, self._body_late)
        if head.headers.get("Expect", "").lower() == "100-continue" and self.transport is not None:
            self.transport.write(CONTINUE)

    def _read_body(self, body: Body) -> None:
        """Take in what has come of the body; hand over the request when that was all."""
        assert self._head is not None
        try:
            if (whole := body.read()) is not None:
                self._body = None
                self._deadline.clear()
                self._application.accept(self._door, self._head, whole, self)
        except Exception as error:  # noqa: BLE001 - as above
            self.fail(error)
        else:
            if whole is None and self._broken is not None:
                self.fail(BadBody())

    def fail(self, error: Exception) -> None:
        """Answer the request under way as the application answers this error."""
        self.answer(self._application.refuse(error, self._door, self))

    def answer(self, response: Response) -> None:
        """Answer the request under way, and go on with the next."""
        head, payload = self._head, self._payload
        assert head is not None
        self._head = self._body = self._door = None
        self._payload = EMPTY_PAYLOAD
        if self.transport is None:
            return
        unread = not payload.is_eof()
        ends = unread or response.close or head.should_close or head.upgrade or self._owner.closing
        self.transport.write(response.encoded(close=ends, head_only=head.method == "HEAD"))
        if ends:
            self._end(linger=unread)
            return
        self._deadline.set(self._limits.keepalive, self._silent)
        if not self._taking and (self._queue or self._broken is not None):
            self._take_up()

    # The end

    def _end_broken(self, error: Exception) -> None:
        if isinstance(error, EOFError) or self.transport is None:
            self._end()
            return
        response = self._application.refuse(error, None, self)
        self.transport.write(response.encoded(close=True))
        self._end(linger=True)

    def _end(self, *, linger: bool = False) -> None:
        """Read no more requests, and close once the answers are taken; `linger` while the sender still sends."""
        self._ending = True
        self._queue.clear()
        if self.transport is None:
            return
        if linger and self.transport.can_write_eof():
            self._resume_transport_reading()
            self.transport.write_eof()
            self._deadline.set(_LINGER, self.abort)
        else:
            self.transport.close()
            self._deadline.set(self._limits.keepalive, self._not_taken)

    def _silent(self) -> None:
        """End a connection that was not used for long, or whose sender takes no answers."""
        if self.transport is not None and self.transport.get_write_buffer_size():
            self._not_taken()
        else:
            self._end()

    def _not_taken(self) -> None:
        log.info("answers_not_taken", limit=self._limits.keepalive)
        self.abort()

    def _headers_late(self) -> None:
        log.info("headers_too_slow", limit=self._limits.header_timeout)
        self._end()

    def _body_late(self) -> None:
        self.fail(BodyTooSlow(f"the body did not arrive within {self._limits.body_timeout:g} seconds"))


def _judge_version(head: RawRequestMessage) -> None:
    """Raise for what says it is another HTTP: the parser takes it for one of ours."""
    if head.version not in _VERSIONS:
        raise Malformed("a version of HTTP that is not spoken here")
