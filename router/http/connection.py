"""One connection of a sender: HTTP/1.1 (RFC 9112) between aiohttp's parser and the application, and no layer more.

Requests are taken up one at a time, in their order. One that has come whole is answered without a task, a stream or a
timer of its own; that is what makes ingress fast. Each way of being slow has its time: for headers, for a body, for the
next request, for taking an answer.

Nothing is parsed ahead: the parser stops behind each request until that is answered. So what is wrong further on takes
nothing from the requests before it, and no more waits in memory than one read brings.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from aiohttp import EMPTY_PAYLOAD, HttpVersion10, HttpVersion11, StreamReader

from router.http.body import BadBody, Body, BodyTooSlow
from router.http.deadline import Deadline
from router.http.parser import RawRequestMessage, request_parser
from router.http.response import CONTINUE, Response
from router.telemetry import logs

log = logs.get("http")

DoorT = TypeVar("DoorT")
_VERSIONS = (HttpVersion11, HttpVersion10)
_LINGER = 2.0  # seconds for what a sender still sends: closing at once could destroy the answer on its way


class Malformed(Exception):
    """What came is no HTTP that is spoken here; the message is for the sender."""

    def __init__(self, message: str = "the request is not well-formed HTTP") -> None:
        super().__init__(message)


class Limits(NamedTuple):
    """For how many seconds a sender may be slow in each way, and how many bytes a body may have."""

    header_timeout: float  # for the rest of a head that has begun
    body_timeout: float
    keepalive: float  # for the next request, and for taking an answer
    max_body: int


class Application(Protocol[DoorT]):
    """What answers requests, each by a door that it finds for it. What it raises comes back to it by `refuse`."""

    def find(self, head: RawRequestMessage, connection: "Connection") -> DoorT:
        """Return the door that a request is for."""

    def admit(self, head: RawRequestMessage) -> None:
        """Raise where the body of a request is not even wanted."""

    def accept(self, door: DoorT, head: RawRequestMessage, body: bytes, connection: "Connection") -> None:
        """Take a whole request; see to it that the connection's `answer` or `fail` is called once, now or later."""

    def refuse(self, error: Exception, door: DoorT | None, connection: "Connection") -> Response:
        """Return the answer to a request that failed; `door` is None where it was not found."""


class Owner(Protocol):
    """What counts the connections of a port: its server."""

    closing: bool
    requests_count: int

    def opened(self, connection: "Connection") -> None:
        """Take note of a connection."""

    def closed(self, connection: "Connection") -> None:
        """Forget a connection."""


class Connection(asyncio.Protocol):
    """Reads requests, hands them to the application, and writes its answers."""

    __slots__ = (
        "_ahead",
        "_application",
        "_body",
        "_deadline",
        "_door",
        "_ended",
        "_ending",
        "_head",
        "_left",
        "_limits",
        "_owner",
        "_payload",
        "_requests",
        "_stopped",
        "_taking",
        "transport",
        "writing_paused",
    )

    def __init__(self, owner: Owner, application: Application[Any], limits: Limits) -> None:
        loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None  # as long as there is a connection
        self.writing_paused = False  # the sender takes no answers
        self._requests = request_parser(self, loop)
        self._owner = owner
        self._application = application
        self._limits = limits
        self._deadline = Deadline(loop)
        self._ahead = b""  # has come, and waits until the request under way is answered
        self._stopped = False  # the parser stopped behind a request, and may have read what follows
        self._head: RawRequestMessage | None = None  # of the request under way
        self._payload: StreamReader = EMPTY_PAYLOAD
        self._door: Any = None
        self._body: Body | None = None  # while it is still coming
        self._left: Callable[[], object] | None = None  # to be called when the sender of the request under way leaves
        self._taking = False
        self._ended = False  # the sender sends no more
        self._ending = False  # no more requests are taken up

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return self._head is not None

    @property
    def patience(self) -> float:
        """Until when a connection without a request is left open, by the clock of the event loop."""
        return self._deadline.at

    @property
    def peer(self) -> str:
        """The address at the other end, if it is still there."""
        address = self.transport.get_extra_info("peername") if self.transport is not None else None
        return str(address[0]) if address else ""

    @property
    def forwarded(self) -> Sequence[str]:
        """The X-Forwarded-For of the request under way, as the sender or a proxy wrote it."""
        return self._head.headers.getall("X-Forwarded-For", ()) if self._head is not None else ()

    # What the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a first request."""
        self.transport = cast("asyncio.Transport", transport)
        self._deadline.set(self._limits.keepalive, self._silent)
        self._owner.opened(self)

    def connection_lost(self, _exc: BaseException | None) -> None:
        """Forget everything; a request that has come whole is finished all the same."""
        self.transport = None
        self._deadline.stop()
        self._ending = True
        self._ahead = b""
        if self._body is not None:
            self.fail(BadBody())
        self._say_left()
        del self._requests  # it knows us: neither would be freed before the garbage collector came
        self._owner.closed(self)

    def data_received(self, data: bytes) -> None:
        """Take up what has come, or keep it, and let no more come, until the request under way is answered."""
        if self._ending:
            return
        if self._may_read:
            self._take_up(data)
        else:
            self._ahead += data
            self._let_come(more=False)

    def eof_received(self) -> bool:
        """Answer what is whole, for nothing more will come, and close; returns whether to stay open for that."""
        self._ended = True
        if self._body is not None:
            self.fail(BadBody())
        self._say_left()
        return (self._head is not None or self.writing_paused) and not self._ending

    def pause_writing(self) -> None:
        """Take up no more requests: the answers are not taken."""
        self.writing_paused = True

    def resume_writing(self) -> None:
        """Go on: the answers were taken."""
        self.writing_paused = False
        if not self._taking:
            self._take_up()

    def pause_reading(self) -> None:
        """Do nothing: what the parser reads of a body is taken from it at once, however much it is."""

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - the parser calls it so
        """Do nothing: the parser says this at the end of each body."""

    def when_left(self, left: Callable[[], object]) -> None:
        """Call `left` if the sender ends the connection, or its half of it, before it has its answer."""
        self._left = left
        if self._ended or self.transport is None:
            self._say_left()

    def _say_left(self) -> None:
        left, self._left = self._left, None
        if left is not None:
            left()

    # From one request to the next

    def wind_down(self) -> None:
        """Close as soon as no request is under way."""
        if self._head is None and not self._ending:
            self._end()

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        if self.transport is not None:
            self.transport.abort()

    @property
    def _may_read(self) -> bool:
        """Whether what comes is wanted now: for the body under way, or for a request whose answer will be taken."""
        return not self.writing_paused if self._head is None else self._body is not None

    def _take_up(self, data: bytes = b"") -> None:
        """Take up requests until one is under way, or all that has come is read: `data`, and what was kept."""
        self._taking = True  # what is answered at once must not begin the next within its own beginning
        stopped = self._read(data) if data else self._stopped
        while (stopped or self._ahead) and self._may_read and not self._ending:
            stopped = self._read(b"" if stopped else self._next())
        self._stopped = stopped
        self._taking = False
        if self._ended and self._may_read and not self._ending:
            self._end()

    def _next(self) -> bytes:
        """Return what was kept, and let more come."""
        data, self._ahead = self._ahead, b""
        self._let_come(more=True)
        return data

    def _let_come(self, *, more: bool) -> None:
        """Read from the sender, or do not."""
        if self.transport is not None:
            with suppress(RuntimeError):  # uvloop says so of a transport that it has just closed
                (self.transport.resume_reading if more else self.transport.pause_reading)()

    def _read(self, data: bytes) -> bool:
        """Have the parser read up to the end of a request; returns whether it got there, and so may have more."""
        try:
            messages, _, _ = self._requests.feed_data(data)
        except Exception as error:  # noqa: BLE001 - some versions of aiohttp raise more than `Unparsable`
            self._refuse(_malformed(error))
            return False
        if messages:
            self._begin(*messages[0])
        elif self._body is not None:
            self._read_body(self._body)
        else:
            if data:
                self._deadline.bring_forward(self._limits.header_timeout, self._headers_late)
            return False
        return self._payload.is_eof()

    def _begin(self, head: RawRequestMessage, payload: StreamReader) -> None:
        self._owner.requests_count += 1
        self._deadline.clear()
        self._head = head
        self._payload = payload
        try:
            _judge(head)
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
        expects = head.headers.get("Expect", "").lower() == "100-continue" and head.version is not HttpVersion10
        if expects and self.transport is not None:
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

    def fail(self, error: Exception) -> None:
        """Answer the request under way as the application answers this error."""
        self.answer(self._application.refuse(error, self._door, self))

    def answer(self, response: Response) -> None:
        """Answer the request under way, and go on with the next."""
        head, payload = self._head, self._payload
        assert head is not None
        self._head = self._body = self._door = self._left = None
        self._payload = EMPTY_PAYLOAD
        if self.transport is None:
            return
        unread = not payload.is_eof()
        ends = unread or response.close or head.should_close or head.upgrade or self._owner.closing
        keeps = head.version is HttpVersion10 and not ends
        self.transport.write(response.encoded(close=ends, keep=keeps, head_only=head.method == "HEAD"))
        if ends:
            self._end(linger=unread or not head.should_close)
            return
        self._deadline.set(self._limits.keepalive, self._silent)
        if not self._taking:
            self._take_up()

    # The end

    def _refuse(self, error: Malformed) -> None:
        """Answer what the parser could not read: the body under way, or else what should be a request."""
        if self._body is not None:
            self.fail(BadBody())
        elif self.transport is not None:
            self.transport.write(self._application.refuse(error, None, self).encoded(close=True))
            self._end(linger=True)

    def _end(self, *, linger: bool = False) -> None:
        """Read no more requests, and close once the answers are taken; `linger` while the sender still sends."""
        self._ending = True
        self._ahead = b""
        if self.transport is None:
            return
        if linger and not self._ended and self.transport.can_write_eof():
            self._let_come(more=True)
            with suppress(OSError):  # asyncio's own loop says so at once when the sender has just gone
                self.transport.write_eof()
            self._deadline.set(_LINGER, self._end)
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


def _judge(head: RawRequestMessage) -> None:
    """Raise for what the parser takes and we do not: another HTTP, and chunks in one that does not know them."""
    if head.version not in _VERSIONS:
        raise Malformed("send HTTP/1.1 or HTTP/1.0")
    if head.chunked and head.version is HttpVersion10:
        raise Malformed("HTTP/1.0 knows no chunks: who passed them on may have seen another end (RFC 9112, 6.1)")


def _malformed(error: Exception) -> Malformed:
    """Return what is said of a request that the parser refused: nothing of the parser's words, which quote it."""
    if "transfer-encoding" in str(error).lower():
        return Malformed("Transfer-Encoding has to be chunked, and to come without Content-Length")
    return Malformed()
