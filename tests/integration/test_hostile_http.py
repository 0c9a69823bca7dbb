"""Senders that are slow, rude, many or hardly speak HTTP, against a real ingress process over raw connections."""

import asyncio
import json
import resource
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from fuzz.requests import HEADER, PATH, sign, whole
from fuzz.responses import Response, first_of
from support.memory import cpu_seconds, descriptors, resident
from support.processes import SECRET, System, running_system
from support.stores import fresh_keys
from support.waiting import eventually

from router.store.client import Store, connect

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

LIMIT = 1.0
"""Seconds that the ingress under test allows for headers, for a body, and for silence."""
SEVERAL = 2
"""More good requests than this are answered while a crowd is there: if they waited for it, one would be."""
SOME = 10
"""Connections to the store that the ingress may open meanwhile."""
CUSTOMERS = "visma-net-financial/customer_changed"

numbers = count()


def event(name: str) -> bytes:
    """Return the body of one event."""
    return b'{"event":"customer_changed","notificationId":"%s"}' % name.encode()


def signed(body: bytes, *extra: bytes) -> bytes:
    """Return a good request."""
    return whole(body, sign(SECRET.encode(), body), *extra)


def headed(body: bytes, *fields: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    """Return the head of a request that is signed for a body, framed by these fields alone."""
    signature = HEADER + b": " + sign(SECRET.encode(), body)
    return b"\r\n".join([b"POST " + PATH + b" " + version, b"Host: x", signature, *fields, b"", b""])


class Line:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._data = b""

    def write(self, data: bytes) -> None:
        """Send."""
        self._writer.write(data)

    async def flush(self) -> None:
        """Wait until what was sent is on its way; an error means that the server has gone."""
        await self._writer.drain()

    async def answer(self) -> Response:
        """Return the next answer."""
        while not (found := first_of(self._data)):
            async with asyncio.timeout(30):
                more = await self._reader.read(65_536)
            assert more, f"no answer, after {self._data!r}"
            self._data += more
        response, self._data = found
        return response

    async def ended(self) -> bytes:
        """Wait until the server ends the connection; return what came before."""
        async with asyncio.timeout(30):
            with suppress(ConnectionError):
                while more := await self._reader.read(65_536):
                    self._data += more
        return self._data

    def close(self, *, reset: bool = False) -> None:
        """End the connection: by a FIN, or by a RST."""
        if reset:
            connection: socket.socket = self._writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()
        self._writer.close()


class Target:
    """A running ingress and its store."""

    def __init__(self, system: System, store: Store, pid: int) -> None:
        self.system = system
        self.store = store
        self.pid = pid

    async def open(self, data: bytes = b"") -> Line:
        """Connect, and send this at once: on a busy machine it may be long until the event loop comes back here."""
        connection = socket.create_connection(("127.0.0.1", self.system.port))
        connection.sendall(data)
        connection.setblocking(False)
        return Line(*await asyncio.open_connection(sock=connection))

    async def exchange(self, data: bytes) -> list[Response]:
        """Send bytes, wait for the end of the connection; return all answers."""
        line = await self.open(data)
        rest, answers = await line.ended(), []
        line.close()
        while found := first_of(rest):
            answers.append(found[0])
            rest = found[1]
        assert rest == b"", rest
        return answers

    async def good(self) -> float:
        """Send an event on a connection of its own, which is taken; return how many seconds its answer took."""
        started = time.perf_counter()
        line = await self.open(signed(event(f"good-{next(numbers)}")))
        try:
            assert (await line.answer()).status == 202
        finally:
            line.close()
        return time.perf_counter() - started

    async def stored(self, prefix: str) -> list[str]:
        """Return the ids in the stream that begin so, in order."""
        entries: Any = await self.store.client.xrange(self.store.keys.events(CUSTOMERS))
        ids = [fields[b"id"].decode() for _, fields in entries]
        return [id_ for id_ in ids if id_.startswith(prefix)]

    async def answered_while(self, work: "asyncio.Future[Any]") -> int:
        """Send good events, one after the other, until some work is done; return how many were answered meanwhile."""
        answered = 0
        while not work.done():
            await self.good()
            answered += not work.done()
        await work
        return answered


@asynccontextmanager
async def running(url: str, folder: Path, **environment: str) -> AsyncIterator[Target]:
    """Run an ingress; it must be there at the end, and must not have logged an error or a secret."""
    store = connect(url, fresh_keys())
    places = {"ROUTER_REDIS__URL": url, "ROUTER_REDIS__PREFIX": store.keys.prefix}
    try:
        async with running_system(folder, **places, **environment) as system:
            process = await system.start("ingress")
            await system.ready()
            target = Target(system, store, process.pid)
            yield target
            assert process.returncode is None
            await target.good()
            assert '"level": "error"' not in system.logs()
            assert SECRET not in system.logs()
    finally:
        await store.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def target(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Target]:
    """Run the one ingress, of short patience, that most tests here share."""
    short = {name: str(LIMIT) for name in ("HEADER_TIMEOUT", "BODY_TIMEOUT", "KEEPALIVE")}
    environment = {f"ROUTER_INGRESS__{name}": value for name, value in short.items()}
    async with running(server_url, tmp_path_factory.mktemp("hostile"), **environment) as found:
        yield found


# Slow senders


async def drip(target: Target, start: bytes, byte: bytes) -> bytes:
    """Send byte after byte until the server has had enough; return what it says."""
    line = await target.open(start)
    ended = asyncio.ensure_future(line.ended())
    while not ended.done():
        line.write(byte)
        await asyncio.wait([ended], timeout=0.05)
    line.close()
    return ended.result()


async def crowds(target: Target, start: bytes, byte: bytes) -> list[bytes]:
    """Drip from 150 connections at once; return what they were answered. Several good ones are answered beside them.

    A busy machine answers few within one crowd's second; a server that waits for slow senders, none in any number.
    """
    answered, answers = 0, []
    for _ in range(10):
        crowd = asyncio.gather(*(drip(target, start, byte) for _ in range(150)))
        answered += await target.answered_while(crowd)
        answers += crowd.result()
        if answered > SEVERAL:
            return answers
    raise AssertionError(answered)


async def test_a_crowd_that_drips_its_headers_is_cut_off_and_delays_nobody(target: Target) -> None:
    """Headers byte by byte end the connection after the time for headers; a good sender notices nothing."""
    assert set(await crowds(target, b"POST / HTTP/1.1\r\nX: ", b"x")) == {b""}


@pytest.mark.parametrize("framing", [b"Content-Length: 100000", b"Transfer-Encoding: chunked"])
async def test_a_crowd_that_drips_its_bodies_is_refused_and_delays_nobody(target: Target, framing: bytes) -> None:
    """A body byte by byte is answered 408 after the time for bodies, and the connection is closed."""
    byte = b"1\r\nx\r\n" if b"chunked" in framing else b"x"
    for data in await crowds(target, headed(b"", framing), byte):
        found = first_of(data)
        assert found is not None
        assert found[0].status == 408


async def test_a_sender_that_takes_no_answers_is_cut_off(target: Target) -> None:
    """Who sends request after request and never reads an answer loses its connection, however much is under way."""
    before = descriptors(target.pid)
    loop = asyncio.get_running_loop()
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        await loop.sock_connect(deaf, ("127.0.0.1", target.system.port))
        many = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1000
        with suppress(ConnectionError):
            async with asyncio.timeout(30):
                while True:
                    await loop.sock_sendall(deaf, many)
        await eventually(lambda: "answers_not_taken" in target.system.logs())
    await eventually(lambda: descriptors(target.pid) <= before + SOME)
    await target.good()


# Rude senders


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
async def test_half_a_body_and_gone(target: Target, *, reset: bool) -> None:
    """Two hundred senders that leave in the middle of a signed body leave nothing behind: no entry, no connection."""
    before = descriptors(target.pid)
    for number in range(200):
        body = event(f"half-{reset}-{number}")
        line = await target.open()
        line.write(signed(body)[: -len(body) // 2])
        await line.flush()
        line.close(reset=reset)
    await eventually(lambda: descriptors(target.pid) <= before + SOME)
    assert await target.stored(f"half-{reset}") == []
    await target.good()


async def test_a_whole_request_and_gone(target: Target) -> None:
    """Senders that do not wait for their answer break nothing; what they sent is stored once or not at all."""
    before = descriptors(target.pid)
    names = [f"gone-{number}" for number in range(100)]
    for number, name in enumerate(names):
        line = await target.open()
        line.write(signed(event(name)))
        await line.flush()
        line.close(reset=number % 2 == 0)
    await eventually(lambda: descriptors(target.pid) <= before + SOME)
    stored = await target.stored("gone-")
    assert len(set(stored)) == len(stored)
    assert set(stored) <= set(names)


async def test_a_long_pipeline_is_answered_in_order_and_stored_whole(target: Target) -> None:
    """A thousand requests sent in one go get a thousand answers, in their order, each for itself."""
    line = await target.open()
    names = [f"pipe-{number:04}" for number in range(1000)]
    for number, name in enumerate(names):
        line.write(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number if number % 10 == 9 else signed(event(name)))
    statuses = [(await line.answer()).status for _ in names]
    line.close()
    assert statuses == [404 if number % 10 == 9 else 202 for number in range(1000)]
    assert await target.stored("pipe-") == [name for number, name in enumerate(names) if number % 10 != 9]


# Expect: 100-continue


async def test_expect_is_answered_before_the_body_and_only_where_a_body_is_wanted(target: Target) -> None:
    """100 comes before the body, on each request of a connection; what is refused anyway gets its refusal instead."""
    line = await target.open()
    for number in range(3):
        body = event(f"expect-{number}")
        length = b"Content-Length: %d" % len(body)
        line.write(headed(body, length, b"Expect: 100-continue"))
        assert (await line.answer()).status == 100
        line.write(body)
        assert (await line.answer()).status == 202
    line.write(headed(b"", b"Content-Length: 2000000", b"Expect: 100-continue"))
    assert (await line.answer()).status == 413
    assert await line.ended() == b""
    line.close()
    assert await target.stored("expect-") == ["expect-0", "expect-1", "expect-2"]


async def test_expect_without_a_body_to_follow_is_given_up(target: Target) -> None:
    """A sender that is told to go on, and does not, is answered 408."""
    line = await target.open()
    line.write(headed(b"x", b"Content-Length: 1", b"Expect: 100-continue"))
    assert [(await line.answer()).status for _ in range(2)] == [100, 408]
    assert await line.ended() == b""
    line.close()


# Framing

CHUNKED = b"Transfer-Encoding: chunked"
GOOD = {
    "one chunk": lambda body: b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
    "a byte a chunk": lambda body: b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n",
    "capital digits, and zeros before them": lambda body: b"0000%X\r\n%s\r\n0\r\n\r\n" % (len(body), body),
    "extensions": lambda body: b'%x;a=b;c="d"\r\n%s\r\n0;last\r\n\r\n' % (len(body), body),
    "trailers": lambda body: b"%x\r\n%s\r\n0\r\nX: y\r\nZ: 1\r\n\r\n" % (len(body), body),
    "an extension of 100 KB": lambda body: b"%x;%s\r\n%s\r\n0\r\n\r\n" % (len(body), b"x" * 100_000, body),
}


@pytest.mark.parametrize("name", GOOD)
async def test_odd_but_good_chunks_are_read(target: Target, name: str) -> None:
    """A chunked body is read whole, however it is cut, and the connection goes on behind it."""
    number = next(numbers)
    framed: Callable[[bytes], bytes] = GOOD[name]
    line = await target.open()
    for part in "ab":
        body = event(f"chunks-{number}-{part}")
        line.write(headed(body, CHUNKED) + framed(body))
        assert (await line.answer()).status == 202
    line.close()
    assert len(await target.stored(f"chunks-{number}-")) == 2


SMUGGLED = event("smuggled")
BAD = {
    "both lengths": headed(b"", b"Content-Length: 5", CHUNKED) + b"0\r\n\r\n",
    "both lengths, the other way round": headed(b"", CHUNKED, b"Content-Length: 5") + b"0\r\n\r\n",
    "a disguised second length": headed(b"", b"Content-Length: 0", b"Transfer-Encoding:\x0bchunked"),
    "a length twice": headed(b"", b"Content-Length: 0", b"Content-Length: 5") + b"hello",
    "the same length twice": headed(b"", b"Content-Length: 5", b"Content-Length: 5") + b"hello",
    "a list of lengths": headed(b"", b"Content-Length: 5, 5") + b"hello",
    "a length with a sign": headed(b"", b"Content-Length: +5") + b"hello",
    "a negative length": headed(b"", b"Content-Length: -1"),
    "a length in hexadecimal": headed(b"", b"Content-Length: 0x5") + b"hello",
    "a length with an underscore": headed(b"", b"Content-Length: 1_0") + b"hellohello",
    "a length of no digits": headed(b"", b"Content-Length: "),
    "a length beyond 64 bits": headed(b"", b"Content-Length: 18446744073709551617") + b"h",
    "a blank before the colon": headed(b"", b"Content-Length : 0"),
    "a folded header": headed(b"", b"X: a\r\n b", b"Content-Length: 0"),
    "chunked, but not last": headed(b"", b"Transfer-Encoding: chunked, identity") + b"0\r\n\r\n",
    "a chunk of no size": headed(b"", CHUNKED) + b"\r\n\r\n",
    "a chunk of a negative size": headed(b"", CHUNKED) + b"-1\r\n\r\n",
    "a chunk in C's hexadecimal": headed(b"", CHUNKED) + b"0x5\r\nhello\r\n0\r\n\r\n",
    "a chunk beyond 64 bits": headed(b"", CHUNKED) + b"FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
    "a chunk longer than it says": headed(b"", CHUNKED) + b"3\r\nhello\r\n0\r\n\r\n",
    "a line feed for both": headed(b"", CHUNKED) + b"5\nhello\n0\n\n",
    "ten thousand trailers": headed(b"", CHUNKED) + b"0\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
    "no host": b"POST " + PATH + b" HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "lines that end in line feeds": signed(event("lines")).replace(b"\r\n", b"\n"),
    "a NUL in a header": headed(b"", b"X: \x00", b"Content-Length: 0"),
    "a line too long": b"POST /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a header too long": headed(b"", b"X: " + b"x" * 100_000, b"Content-Length: 0"),
    "a name too long": headed(b"", b"x" * 100_000 + b": x", b"Content-Length: 0"),
    "too many headers": headed(b"", *[b"X%d: x" % number for number in range(1000)], b"Content-Length: 0"),
    "headers without end": headed(b"")[:-2] + b"".join(b"X%d: %s\r\n" % (n, b"x" * 8000) for n in range(500)),
    "HTTP/2 with prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "SOCKS": b"\x05\x01\x00",
    "Redis": b"*1\r\n$8\r\nFLUSHALL\r\n",
    "a proxy's greeting": b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" + signed(event("proxy")),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_no_good_http_is_refused_once_and_for_all(target: Target, name: str) -> None:
    """One 4xx as a problem document, and the end of the connection: what follows is not taken for a request."""
    [answer] = await target.exchange(BAD[name] + signed(SMUGGLED))
    assert 400 <= answer.status < 500
    assert json.loads(answer.body)["status"] == answer.status
    assert await target.stored("smuggled") == []


@pytest.mark.parametrize("version", [b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.2", b"HTTP/3.0"])
async def test_other_versions_are_refused_in_a_version_that_is_ours(target: Target, version: bytes) -> None:
    """400, in HTTP/1, for a request that says it is of another version; nothing of it is stored."""
    body = event(f"version-{version.decode().lower()}")
    [answer] = await target.exchange(headed(body, b"Content-Length: %d" % len(body), version=version) + body)
    assert answer.status == 400
    assert await target.stored("version-") == []


async def test_http_1_0_is_answered_and_closed(target: Target) -> None:
    """The old version is understood: with a length, one request for a connection unless it asks for more."""
    body = event("old")
    length = b"Content-Length: %d" % len(body)
    [answer] = await target.exchange(headed(body, length, version=b"HTTP/1.0") + body)
    assert answer.status == 202
    line = await target.open()
    for _ in range(2):
        line.write(headed(body, length, b"Connection: keep-alive", version=b"HTTP/1.0") + body)
        assert (await line.answer()).status == 202
    line.close()
    assert await target.stored("old") == ["old"]


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"x"])
async def test_an_upgrade_that_is_offered_is_declined(target: Target, protocol: bytes) -> None:
    """A request that offers another protocol is answered as if it did not, and closes: nothing behind it gets lost."""
    names = [f"upgrade-{protocol.decode()}-{part}" for part in "abc"]
    offer = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + protocol, b"HTTP2-Settings: AAMAAABk")
    requests = [signed(event(names[0])), signed(event(names[1]), *offer), signed(event(names[2]))]
    answers = await target.exchange(b"".join(requests))
    assert [answer.status for answer in answers] == [202, 202]
    assert answers[1].headers["connection"] == "close"
    assert await target.stored(f"upgrade-{protocol.decode()}") == names[:2]


@pytest.mark.parametrize("size", [b"7fffffffffffffff", b"ffffffffffffffff", b"100001"])
async def test_a_chunk_over_the_limit_is_not_waited_for_without_end(target: Target, size: bytes) -> None:
    """A chunk that says it is huge costs neither memory nor more than the time for bodies."""
    before = resident(target.pid)
    [answer] = await target.exchange(headed(b"", CHUNKED) + size + b"\r\n" + b"x" * 1000)
    assert answer.status in {400, 408, 413}
    assert resident(target.pid) < before + 16


async def test_a_chunk_extension_without_end_costs_no_memory(target: Target) -> None:
    """Extensions that never end are thrown away as they come, and given up after the time for bodies."""
    before = resident(target.pid)
    line = await target.open()
    line.write(headed(b"", CHUNKED) + b"5;")
    ended = asyncio.ensure_future(line.ended())
    with suppress(ConnectionError):
        while not ended.done():
            line.write(b"x" * 65_536)
            await line.flush()
            await asyncio.sleep(0)
    found = first_of(await ended)
    assert found is None or 400 <= found[0].status < 500
    line.close()
    assert resident(target.pid) < before + 16


# Many connections


@pytest.fixture
def many_files() -> Any:
    """Allow this process, and the ingress that it starts, as many open files as the system does; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_ten_thousand_idle_connections_delay_nobody(server_url: str, tmp_path: Path, many_files: int) -> None:
    """Idle connections cost little each; a good request is answered promptly meanwhile; afterwards all are let go."""
    number = min(10_000, many_files - 500)
    async with running(server_url, tmp_path) as target:
        before, files = resident(target.pid), descriptors(target.pid)
        crowd: list[socket.socket] = []
        try:
            loop = asyncio.get_running_loop()
            while len(crowd) < number:
                fresh = [socket.socket() for _ in range(min(100, number - len(crowd)))]
                for one in fresh:
                    one.setblocking(False)
                crowd += fresh
                async with asyncio.timeout(30):
                    await asyncio.gather(*(loop.sock_connect(one, ("127.0.0.1", target.system.port)) for one in fresh))
            await eventually(lambda: descriptors(target.pid) >= number)
            each = (resident(target.pid) - before) * 1024 / number
            slowest = max([await target.good() for _ in range(50)])
        finally:
            for one in crowd:
                one.close()
        await eventually(lambda: descriptors(target.pid) <= files + SOME)
    sys.stdout.write(f"{number} idle: {each:.1f} KiB each; the slowest good request took {slowest * 1000:.0f} ms\n")
    assert each < 40


async def test_without_file_descriptors_it_neither_dies_nor_spins_and_recovers(server_url: str, tmp_path: Path) -> None:
    """Connections over the limit are turned away; the process stays calm, and answers as soon as others have gone."""
    async with running(server_url, tmp_path) as target:
        await target.good()
        limit = descriptors(target.pid) + 20
        resource.prlimit(target.pid, resource.RLIMIT_NOFILE, (limit, limit))
        crowd = [await target.open() for _ in range(200)]
        ends = [asyncio.ensure_future(line.ended()) for line in crowd]
        await eventually(lambda: sum(end.done() for end in ends) >= 170)
        used = cpu_seconds(target.pid)
        await asyncio.wait([end for end in ends if not end.done()], timeout=1)
        assert cpu_seconds(target.pid) - used < 0.5
        for line in crowd:
            line.close()

        async def answers() -> bool:
            with suppress(AssertionError, ConnectionError):
                await target.good()
                return True
            return False

        await eventually(answers)
        await asyncio.gather(*ends)
