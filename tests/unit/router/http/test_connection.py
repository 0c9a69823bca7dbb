"""Many requests on one connection, and its end at every stage: `router/http/connection.py`, on both event loops."""

import asyncio
import gc
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvloop
from support.waiting import eventually

from config.settings import IngressSettings
from router.http import connection as module
from router.http.connection import Connection
from router.http.parser import RawRequestMessage
from router.http.response import Response
from router.http.server import Server

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
CLOSE = ("Connection: close",)
CHUNKED = ("Transfer-Encoding: chunked",)
READ = 1 << 18  # bytes that one read of either loop brings at most


class Counter:
    """Answers with the path and the length of the body; holds back what begins with /hold until it is let go."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes]] = []
        self.held: list[Connection] = []
        self.errors: list[str] = []

    def find(self, _head: RawRequestMessage, _connection: Connection) -> None:
        """Find no door."""

    def admit(self, head: RawRequestMessage) -> None:
        """Refuse, with an answer that ends the connection, what begins with /no."""
        if head.path.startswith("/no"):
            raise PermissionError

    def accept(self, _door: None, head: RawRequestMessage, body: bytes, connection: Connection) -> None:
        """Answer at once, or later."""
        self.seen.append((head.path, body))
        if head.path.startswith("/hold"):
            self.held.append(connection)
        else:
            connection.answer(Response(200, f"{head.path} {len(body)}".encode()))

    def refuse(self, error: Exception, _door: Any, _connection: Connection) -> Response:
        """Answer 400 and close."""
        self.errors.append(type(error).__name__)
        return Response(400, type(error).__name__.encode(), close=True)

    def let_go(self) -> None:
        """Answer what is held, if anything."""
        while self.held:
            self.held.pop(0).answer(Response(200, b"held"))


class House:
    """A server on a port of its own."""

    def __init__(self, **limits: Any) -> None:
        self.app = Counter()
        self.server = Server(self.app, IngressSettings(**{"keepalive": 20, "body_timeout": 20, **limits}))
        self.port = 0

    @asynccontextmanager
    async def line(self, receive_buffer: int = 0) -> AsyncIterator["Line"]:
        """Connect."""
        with socket.socket() as connection:
            if receive_buffer:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.port))
            yield Line(connection)

    async def under_way(self, paths: int = 1) -> None:
        """Wait until so many requests are held."""
        await eventually(lambda: len(self.app.held) == paths)

    async def exchange(self, data: bytes) -> list[bytes]:
        """Send bytes, and return the bodies of all answers up to the end of the connection."""
        async with self.line() as line:
            await line.send(data)
            return bodies(await line.rest())


class Line:
    """One raw connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        await self._loop.sock_sendall(self.socket, data)

    async def answer(self) -> bytes:
        """Return what comes next."""
        async with asyncio.timeout(30):
            return await self._loop.sock_recv(self.socket, 65_536)

    async def rest(self) -> bytes:
        """Return all that comes until the server ends the connection, in order."""
        data = b""
        async with asyncio.timeout(30):
            while more := await self._loop.sock_recv(self.socket, 1 << 20):
                data += more
        return data

    def finish(self) -> None:
        """Say that nothing more comes."""
        self.socket.shutdown(socket.SHUT_WR)

    def leave(self, *, reset: bool) -> None:
        """End it: by a RST, or by a FIN, which a RST follows if anything more is sent to us."""
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


Play = Callable[..., None]


@pytest.fixture(params=LOOPS)
def play(request: pytest.FixtureRequest) -> Iterator[Play]:
    """Run a coroutine function against a server on each loop; nothing may escape into the loop meanwhile."""

    def run(talk: Callable[[House], Awaitable[None]], **limits: Any) -> None:
        escaped: list[dict[str, Any]] = []

        async def scenario() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _loop, context: escaped.append(context))
            house = House(**limits)
            listening = await loop.create_server(house.server, "127.0.0.1", 0)
            house.port = listening.sockets[0].getsockname()[1]
            try:
                await talk(house)
            finally:
                listening.close()
                house.server.close()
                house.server.abort()
                await house.server.finish(5)
            assert not house.server.connections

        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(scenario())
        assert escaped == []

    return run


def get(path: str, *fields: str, version: str = "1.1") -> bytes:
    """Return a request without a body."""
    return "\r\n".join([f"GET {path} HTTP/{version}", "Host: x", *fields, "", ""]).encode()


def post(path: str, body: bytes, *fields: str, version: str = "1.1") -> bytes:
    """Return a request with a body, chunked where a field says so."""
    if CHUNKED[0] in fields:
        framed, length = b"%x\r\n%b\r\n0\r\nTrailer: x\r\n\r\n" % (len(body), body), ()
    else:
        framed, length = body, (f"Content-Length: {len(body)}",)
    return "\r\n".join([f"POST {path} HTTP/{version}", "Host: x", *fields, *length, "", ""]).encode() + framed


def bodies(data: bytes) -> list[bytes]:
    """Return the bodies of answers."""
    found = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        found.append(data[:length])
        data = data[length:]
    return found


# What follows a request

BROKEN = {
    "garbage": b"garbage\r\n\r\n",
    "a broken chunk": get("/x", *CHUNKED) + b"zz\r\n",
    "two lengths": get("/x", "Content-Length: 5", *CHUNKED),
    "no host": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("path", ["/a", "/hold"])
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_further_on_takes_nothing_from_the_requests_before_it(play: Play, name: str, path: str) -> None:
    """Good requests and a bad one in one segment: each good one is answered for itself, then the bad one is refused."""

    async def talk(house: House) -> None:
        async with house.line() as line:
            await line.send(get("/first") + post(path, b"body") + BROKEN[name] + get("/smuggled"))
            await eventually(lambda: len(house.app.seen) == 2)
            assert not house.app.held or house.app.errors == []
            house.app.let_go()
            first, second, refused = bodies(await line.rest())
        assert (first, second) == (b"/first 0", b"held" if path == "/hold" else b"/a 4")
        assert refused in {b"Malformed", b"BadBody"}

    play(talk)


@pytest.mark.parametrize("behind", [b"\r\n", b"x", get("/more"), b"\x00" * 100_000])
@pytest.mark.parametrize("last", [get("/a", *CLOSE), get("/a", version="1.0")], ids=["close", "HTTP/1.0"])
def test_what_follows_the_last_request_is_not_read(play: Play, last: bytes, behind: bytes) -> None:
    """A request that says it is the last one is answered, whatever comes behind it."""

    async def talk(house: House) -> None:
        assert await house.exchange(last + behind) == [b"/a 0"]
        assert house.app.errors == []

    play(talk)


@pytest.mark.parametrize("path", ["/a", "/hold"])
def test_many_pipelined_requests_are_answered_in_order(play: Play, path: str) -> None:
    """Twelve thousand requests in one go, answered at once or behind one that takes long: no depth, no order lost."""
    number = 12_000

    async def talk(house: House) -> None:
        async with house.line() as line:
            requests = get(path) + b"".join(get(f"/{n}") for n in range(number)) + get("/end", *CLOSE)
            sending = asyncio.ensure_future(line.send(requests))
            await eventually(lambda: house.app.seen)
            if path == "/hold":
                await house.under_way()
                house.app.let_go()
            answers = bodies(await line.rest())
            await sending
        assert answers[1:-1] == [b"/%d 0" % n for n in range(number)]

    play(talk)


def test_a_sender_is_held_back_while_its_request_is_under_way(play: Play) -> None:
    """Of what is sent on behind a request that takes long, no more is kept than one read brings."""

    async def talk(house: House) -> None:
        async with house.line() as line:
            await line.send(get("/hold"))
            await house.under_way()
            [connection] = house.server.connections
            flood = asyncio.ensure_future(line.send(get("/more") * 1_000_000))
            await eventually(lambda: connection._ahead)
            await asyncio.wait([flood], timeout=0.1)
            assert len(connection._ahead) <= READ
            assert len(house.app.seen) == 1
            flood.cancel()
            with suppress(asyncio.CancelledError):
                await flood

    play(talk)


@pytest.mark.parametrize("framing", [(), CHUNKED], ids=["length", "chunked"])
@pytest.mark.parametrize("size", [1 << 20, (1 << 21) + 1, 40_000_000])
@pytest.mark.parametrize("first", ["/a", "/hold"])
def test_large_bodies_are_read_whole(play: Play, first: str, size: int, framing: tuple[str, ...]) -> None:
    """However large a body is that is allowed: alone, behind a request under way, and with a request behind it."""

    async def talk(house: House) -> None:
        async with house.line() as line:
            requests = get(first) + post("/large", b"x" * size, *framing) + get("/end", *CLOSE)
            sending = asyncio.ensure_future(line.send(requests))
            if first == "/hold":
                await house.under_way()
                await eventually(lambda: all(one._ahead for one in house.server.connections))
                house.app.let_go()
            answers = bodies(await line.rest())
            await sending
        assert answers[1:] == [b"/large %d" % size, b"/end 0"]

    play(talk, max_body=50_000_000)


def test_requests_in_pieces_of_one_byte_are_read(play: Play) -> None:
    """Wherever a segment ends, in a head, in a body, in a chunk's frame or in a trailer, nothing changes."""
    requests = post("/a", b"12345") + post("/b", b"123", *CHUNKED) + get("/c") + b"\r\n" + post("/d", b"", *CLOSE)

    async def talk(house: House) -> None:
        [connection] = [house.server()]
        transport = Recorder()
        connection.connection_made(transport)
        for byte in requests:
            connection.data_received(bytes([byte]))
        assert bodies(transport.written) == [b"/a 5", b"/b 3", b"/c 0", b"/d 0"]
        connection.connection_lost(None)

    play(talk)


class Recorder(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: Any) -> None:
        """Keep it."""
        self.written += data

    def close(self) -> None:
        """Do nothing."""


# Lengths, and HTTP/1.0


def test_a_length_with_any_number_of_zeros_before_it_is_a_length(play: Play) -> None:
    """Digits that the parser takes are never a fault of ours."""

    async def talk(house: House) -> None:
        for size, answer in ((5, b"/a 5"), (5000, b"BodyTooLarge")):
            head = get("/a", *CLOSE, f"Content-Length: {'0' * 5000}{size}").replace(b"GET", b"POST")
            assert await house.exchange(head + b"x" * size) == [answer]

    play(talk, max_body=1000)


def test_the_old_version_is_told_that_the_connection_stays(play: Play) -> None:
    """HTTP/1.0 that asks for it gets `Connection: keep-alive`, or it would wait for the end (RFC 9112, 9.3)."""

    async def talk(house: House) -> None:
        async with house.line() as line:
            for _ in range(2):
                await line.send(get("/a", "Connection: keep-alive", version="1.0"))
                assert b"\r\nConnection: keep-alive\r\n" in await line.answer()
            await line.send(get("/b"))
            assert b"\r\nConnection" not in await line.answer()

    play(talk)


def test_the_old_version_is_never_told_to_go_on(play: Play) -> None:
    """`Expect: 100-continue` means nothing in HTTP/1.0 (RFC 9110, 10.1.1): it would take the 100 for the answer."""

    async def talk(house: House) -> None:
        async with house.line() as line:
            head, _, body = post("/a", b"body", "Expect: 100-continue", version="1.0").partition(b"\r\n\r\n")
            await line.send(head + b"\r\n\r\n")
            await eventually(lambda: house.server.requests_count)
            await line.send(body)
            assert (await line.rest()).startswith(b"HTTP/1.1 200 OK")

    play(talk)


def test_chunks_in_the_old_version_are_refused(play: Play) -> None:
    """HTTP/1.0 has no chunks: who passed the request on may have seen another end of it (RFC 9112, 6.1)."""

    async def talk(house: House) -> None:
        chunked = post("/a", b"body", "Connection: keep-alive", *CHUNKED, version="1.0")
        assert await house.exchange(chunked + get("/smuggled")) == [b"Malformed"]
        assert house.app.seen == []

    play(talk)


# The end, by the sender

STAGES = {
    "at once": b"",
    "in a head": get("/a")[:-5],
    "before a body": post("/a", b"body")[:-4],
    "in a body": post("/a", b"body")[:-2],
    "in a chunk": post("/a", b"body", *CHUNKED)[:-20],
    "with a request under way": get("/hold"),
    "with many requests behind one under way": get("/hold") + get("/a") * 12_000,
    "with an answer to read": get("/a"),
    "with many answers to read": get("/a") * 5000,
    "refused": get("/no"),
    "refused before its body": post("/no", b"body")[:-4],
    "malformed": b"garbage\r\n\r\n",
}


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_sender_may_go_at_any_stage(play: Play, stage: str, *, reset: bool) -> None:
    """That ends the connection and nothing else; the answer to what was under way finds nobody, and harms nobody."""

    async def talk(house: House) -> None:
        for seen in (True, False):
            async with house.line() as line:
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await line.send(STAGES[stage])
                if seen:
                    await eventually(lambda: house.server.connections)
                line.leave(reset=reset)
            await eventually(lambda: house.app.let_go() or not house.server.connections)
        assert await house.exchange(get("/good", *CLOSE)) == [b"/good 0"]

    play(talk)


ENDS = {
    "at once": [],
    "in a head": [],
    "before a body": [b"BadBody"],
    "in a body": [b"BadBody"],
    "in a chunk": [b"BadBody"],
    "with a request under way": [b"held"],
    "with many requests behind one under way": [b"held"] + [b"/a 0"] * 12_000,
    "with an answer to read": [b"/a 0"],
    "with many answers to read": [b"/a 0"] * 5000,
    "refused": [b"PermissionError"],
    "refused before its body": [b"PermissionError"],
    "malformed": [b"Malformed"],
}


@pytest.mark.parametrize("stage", ENDS)
def test_who_sends_no_more_gets_all_its_answers(play: Play, stage: str) -> None:
    """A sender that shuts down its side gets the answers to all that was whole, 400 for what was not, and the end."""

    async def talk(house: House) -> None:
        async with house.line(receive_buffer=4096) as line:
            sending = asyncio.ensure_future(line.send(STAGES[stage]))
            if STAGES[stage].startswith(get("/hold")):
                await house.under_way()
                house.app.let_go()
                reading = asyncio.ensure_future(line.rest())
                await sending
                line.finish()
            else:
                await sending
                line.finish()
                reading = asyncio.ensure_future(line.rest())
            assert bodies(await reading) == ENDS[stage]

    play(talk)


def test_the_end_comes_behind_what_waits(play: Play) -> None:
    """Requests that came with the end of the sending wait for the one under way, and are then answered."""

    async def talk(house: House) -> None:
        async with house.line() as line:
            await line.send(get("/hold") + get("/a") * 100)
            line.finish()
            await house.under_way()
            house.app.let_go()
            assert bodies(await line.rest()) == [b"held"] + [b"/a 0"] * 100

    play(talk)


# The end, by us


@pytest.mark.parametrize("request_", [get("/no"), get("/a", "Connection: Upgrade", "Upgrade: h2c")], ids=["no", "up"])
def test_an_answer_that_ends_the_connection_is_not_destroyed_by_what_is_still_sent(play: Play, request_: bytes) -> None:
    """Where it is us who end it, the sender may be sending: it gets its answer and an orderly end, never a reset."""

    async def talk(house: House) -> None:
        async with house.line() as line:
            sending = asyncio.ensure_future(line.send(request_ + get("/more") * 50_000))
            await eventually(lambda: house.server.requests_count)
            await sending
            answers = bodies(await line.rest())
        assert len(answers) == 1

    play(talk)


def test_answers_on_their_way_outlast_the_lingering(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal does not cut short the time that a sender has for the answers before it."""
    monkeypatch.setattr(module, "_LINGER", 0.05)

    async def talk(house: House) -> None:
        house.app.find = lambda head, connection: connection.transport.set_write_buffer_limits(high=1 << 30)
        async with house.line(receive_buffer=4096) as line:
            sending = asyncio.ensure_future(line.send(get("/a" + "x" * 4000) * 2000 + b"garbage\r\n\r\n"))
            await eventually(lambda: house.app.errors)
            await eventually(lambda: all(one._deadline._late == one._not_taken for one in house.server.connections))
            answers = bodies(await line.rest())
            await sending
        assert len(answers) == 2001
        assert answers[-1] == b"Malformed"

    play(talk)


def test_whatever_the_parser_raises_the_sender_gets_an_answer(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that break the parser itself are a bad request like others: some versions raise ValueError for a URL."""

    class Broken:
        def feed_data(self, _data: bytes) -> None:
            raise ValueError("Invalid IPv6 URL")

    monkeypatch.setattr(module, "request_parser", lambda _protocol, _loop: Broken())

    async def talk(house: House) -> None:
        assert await house.exchange(get("http://[")) == [b"Malformed"]

    play(talk)


MISSING = {"before a body": b"body", "in a body": b"dy", "in a chunk": post("/a", b"body", *CHUNKED)[-20:]}


REACHED: dict[str, Callable[[House, Connection], object]] = {
    "at once": lambda _house, _one: True,
    "in a head": lambda _house, one: one._deadline._late == one._headers_late,
    "before a body": lambda _house, one: one._body,
    "in a body": lambda _house, one: one._body,
    "in a chunk": lambda _house, one: one._body,
    "with a request under way": lambda house, _one: house.app.held,
    "with an answer to read": lambda house, _one: house.app.seen,
    "with many answers to read": lambda house, _one: len(house.app.seen) == 5000,
    "refused": lambda house, _one: house.app.errors,
    "refused before its body": lambda house, _one: house.app.errors,
    "malformed": lambda house, _one: house.app.errors,
}


@pytest.mark.parametrize("stage", REACHED)
def test_told_to_stop_it_sees_through_what_is_under_way(play: Play, stage: str) -> None:
    """At any stage: what is under way is read, answered once and taken; then all connections end, without a wait."""

    async def talk(house: House) -> None:
        async with house.line() as line:
            await line.send(STAGES[stage])
            await eventually(lambda: house.server.connections)
            [connection] = house.server.connections
            await eventually(lambda: REACHED[stage](house, connection))
            house.server.close()
            finishing = asyncio.ensure_future(house.server.finish(10))
            await line.send(MISSING.get(stage, b""))
            house.app.let_go()
            assert bodies(await line.rest()) == ([b"/a 4"] if stage in MISSING else ENDS[stage])
            line.socket.close()
            async with asyncio.timeout(30):
                await finishing
            assert not house.server.connections

    play(talk)


def test_told_to_stop_it_bears_a_sender_that_has_just_gone(play: Play) -> None:
    """The last answer may find nobody: that is no fault, neither of the request nor of ours."""

    async def talk(house: House) -> None:
        for stage, missing in MISSING.items():
            async with house.line() as line:
                await line.send(STAGES[stage])
                await eventually(lambda: house.server.connections)
                await eventually(lambda: any(one.busy for one in house.server.connections))
                house.server.close()
                await line.send(missing)
                line.leave(reset=False)
            await eventually(lambda: not house.server.connections)
            house.server.closing = False
        assert house.app.errors == []

    play(talk)


def test_told_to_stop_it_takes_up_no_further_request(play: Play) -> None:
    """What was sent behind the request under way is not begun, so its sender knows that it was not seen."""

    async def talk(house: House) -> None:
        async with house.line() as line:
            await line.send(get("/hold") + get("/next") * 3)
            await house.under_way()
            house.server.close()
            house.app.let_go()
            assert bodies(await line.rest()) == [b"held"]
        assert [path for path, _ in house.app.seen] == ["/hold"]

    play(talk)


def test_a_connection_that_comes_after_the_end_is_closed(play: Play) -> None:
    """One that was accepted just before the port was closed does not hold up the end."""

    async def talk(house: House) -> None:
        house.server.close()
        async with asyncio.timeout(30), house.line() as line:
            assert await line.rest() == b""
            await house.server.finish(30)
        assert not house.server.connections

    play(talk)


# What it costs


@pytest.mark.parametrize("stage", STAGES)
def test_a_connection_that_has_ended_is_freed_at_once(play: Play, stage: str) -> None:
    """Nothing of a connection waits for the garbage collector, however it ended."""

    async def talk(house: House) -> None:
        async def come_and_go() -> None:
            async with house.line() as line:
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await line.send(STAGES[stage])
                await eventually(lambda: house.server.connections)
            await eventually(lambda: house.app.let_go() or not house.server.connections)

        gc.freeze()  # what was there before is no concern of this test, and very much to look through
        gc.disable()
        try:
            for _ in range(3):
                await come_and_go()
            await eventually(lambda: not [one for one in gc.get_objects() if type(one) is Connection])
        finally:
            gc.enable()
            gc.unfreeze()

    play(talk)
