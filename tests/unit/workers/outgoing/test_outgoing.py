"""One request to a target, and what comes back of it."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import pytest
from support.receiver import OK, Receiver, Request, receiving
from support.waiting import eventually

from config.errors import ConfigError
from workers.outgoing import Outgoing, Target, TimedOut, Unreachable
from workers.outgoing.answer import retry_after

LOOPBACK = (ip_network("127.0.0.0/8"),)
CLOCK = 1_762_162_200


@asynccontextmanager
async def sending(receiver: Receiver, **options: Any) -> AsyncIterator[Outgoing]:
    """Yield what sends to a receiver."""
    target = Target(f"http://127.0.0.1:{receiver.port}/hook?sig=hush", allow_private=LOOPBACK, **options)
    async with Outgoing(target, clock=lambda: CLOCK) as outgoing:
        yield outgoing


def _target(port: int) -> Target:
    return Target(f"http://127.0.0.1:{port}/", allow_private=LOOPBACK)


def has_come(outgoing: Outgoing) -> bool:
    """Return whether something came on the idle connection, or ended it."""
    session = outgoing._session
    assert session is not None
    idle = [protocol for pool in session.connector._conns.values() for protocol, _ in pool]
    return not idle or any(protocol.should_close for protocol in idle)


def answering(*answers: bytes) -> Callable[[Request], Awaitable[bytes]]:
    """Return what answers with one after the other."""
    rest = list(answers)

    async def answer(request: Request) -> bytes:
        return rest.pop(0)

    return answer


async def until_over(request: Request) -> bytes:
    """Never answer."""
    await asyncio.Event().wait()
    return OK


@asynccontextmanager
async def refusing(answer: bytes) -> AsyncIterator[int]:
    """Yield the port of a receiver that answers before it has read the body, and then reads no more."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_a_body_goes_as_it_is_and_its_answer_comes_back() -> None:
    """The body and the headers arrive byte for byte; status, beginning of the answer, headers and address return."""
    answer = b"HTTP/1.1 202 Accepted\r\nX-Id: 7\r\nContent-Length: 4\r\n\r\nfine"
    async with receiving(answer) as receiver, sending(receiver) as outgoing:
        exchange = await outgoing.post(b"\x00\xff{}", {"webhook-id": "e-1", "Content-Type": "application/json"})
    assert (exchange.status, exchange.answer, exchange.address) == (202, b"fine", "127.0.0.1")
    assert exchange.headers["x-id"] == "7"
    assert exchange.retry_after is None
    assert 0 < exchange.seconds < 30
    [request] = receiver.requests
    assert request.line == "POST /hook?sig=hush HTTP/1.1"
    assert request.body == b"\x00\xff{}"
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert (request.headers["webhook-id"], request.headers["content-type"]) == ("e-1", "application/json")
    assert request.headers["accept-encoding"] == "identity"


async def test_connections_are_used_again() -> None:
    """Requests one after the other go over one connection."""
    async with receiving() as receiver, sending(receiver) as outgoing:
        for _ in range(5):
            await outgoing.post(b"{}", {})
    assert (receiver.connections, len(receiver.requests)) == (1, 5)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirection_is_an_answer(status: int) -> None:
    """Nobody goes where a receiver points."""
    async with receiving() as other:
        where = b"Location: http://127.0.0.1:%d/\r\nContent-Length: 0" % other.port
        async with (
            receiving(b"HTTP/1.1 %d Go\r\n%s\r\n\r\n" % (status, where)) as receiver,
            sending(receiver) as outgoing,
        ):
            exchange = await outgoing.post(b"{}", {})
    assert (exchange.status, other.connections, len(receiver.requests)) == (status, 0, 1)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("Mon, 03 Nov 2025 09:31:00 GMT", 60.0),
        ("Mon, 03 Nov 2025 09:29:00 GMT", 0.0),
        ("9" * 500, 365 * 86_400.0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("Mon, 99 Nov 2025 09:31:00 GMT", None),
        ("", None),
    ],
)
async def test_the_receiver_says_when_to_come_again(header: str, seconds: float | None) -> None:
    """Retry-After is read in both of its forms, bounded; what is neither says nothing."""
    answer = b"HTTP/1.1 503 Busy\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n" % header.encode()
    async with receiving(answer) as receiver, sending(receiver) as outgoing:
        assert (await outgoing.post(b"{}", {})).retry_after == seconds


@pytest.mark.parametrize(
    "date", ["Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:37 -0000", "Sun, 06 Nov 1994 08:49:37 GMT"]
)
def test_a_date_is_of_utc(date: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A date in any form of HTTP is one of UTC, wherever the router runs."""
    monkeypatch.setenv("TZ", "Europe/Oslo")
    time.tzset()
    try:
        assert retry_after({"Retry-After": date}, 784111777 - 10) == 10
    finally:
        monkeypatch.undo()
        time.tzset()


async def test_a_receiver_that_does_not_answer_is_given_up() -> None:
    """The timeout is over all of an exchange; the message names the URL without its query."""
    async with receiving(until_over) as receiver, sending(receiver, timeout=0.05) as outgoing:
        with pytest.raises(TimedOut, match=r"/hook: no answer within 0\.05 seconds"):
            await outgoing.post(b"{}", {})
    assert len(receiver.requests) == 1


async def test_an_answer_counts_from_its_status_on() -> None:
    """A body that drips until the timeout, or breaks, does not undo the status that came before it."""

    async def drips(request: Request) -> bytes:
        request.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1")
        return await until_over(request)

    async def breaks(request: Request) -> bytes:
        request.writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\n12")
        return b""

    async with receiving(drips) as receiver, sending(receiver, timeout=0.2) as outgoing:
        exchange = await outgoing.post(b"{}", {})
        assert (exchange.status, exchange.answer) == (200, b"1")
        receiver.answer = breaks
        exchange = await outgoing.post(b"{}", {})
        assert (exchange.status, exchange.answer) == (500, b"12")
        receiver.answer = OK
        assert (await outgoing.post(b"{}", {})).status == 200
    assert receiver.connections == 3


async def test_a_kilobyte_of_an_answer_is_kept_and_a_long_one_ends_the_connection() -> None:
    """Of a body of some kilobytes the rest is read, so that the connection serves again; a larger one is cut off."""
    some = b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + b"a" * 9000
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\n" + b"b" * 200_000
    async with receiving(answering(some, endless, OK)) as receiver, sending(receiver) as outgoing:
        assert (await outgoing.post(b"{}", {})).answer == b"a" * 1024
        assert receiver.connections == 1
        assert (await outgoing.post(b"{}", {})).answer == b"b" * 1024
        await outgoing.post(b"{}", {})
    assert receiver.connections == 2


async def test_what_is_compressed_is_not_inflated() -> None:
    """An answer that says that it is compressed is kept as it came: a small one may stand for gigabytes."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"
    async with receiving(answer) as receiver, sending(receiver) as outgoing:
        assert (await outgoing.post(b"{}", {})).answer == b"abc"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc Huh\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 10_000 + b"\r\n",
        b"HTTP/1.1 200 " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n",
    ],
)
async def test_what_is_no_answer_is_an_error_that_says_so(answer: bytes) -> None:
    """Rubbish, headers without end and a closed connection fail one exchange; no message shows the query."""

    async def once(request: Request) -> bytes:
        request.writer.write(answer)
        await request.writer.drain()
        return b""

    async with receiving(once) as receiver, sending(receiver) as outgoing:
        with pytest.raises(Unreachable) as raised:
            await outgoing.post(b"{}", {})
    assert "hush" not in str(raised.value)
    assert len(str(raised.value)) < 500
    assert len(receiver.requests) == 1


async def test_interim_answers_are_passed_over() -> None:
    """1xx answers precede the one that counts; without end they are bounded by the timeout."""
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3

    async def never(request: Request) -> bytes:
        while True:
            request.writer.write(early)
            await request.writer.drain()
            await asyncio.sleep(0.001)

    async with receiving(early + OK) as receiver, sending(receiver, timeout=0.2) as outgoing:
        assert (await outgoing.post(b"{}", {})).status == 200
        receiver.answer = never
        with pytest.raises(TimedOut):
            await outgoing.post(b"{}", {})


async def test_a_body_is_never_sent_twice() -> None:
    """A connection that the receiver closes as a request comes fails that exchange: whether it was read is unknown."""
    async with receiving(answering(OK, b"", OK)) as receiver, sending(receiver) as outgoing:
        await outgoing.post(b"1", {})
        with pytest.raises(Unreachable, match="without an answer"):
            await outgoing.post(b"2", {})
        await outgoing.post(b"3", {})
    assert [request.body for request in receiver.requests] == [b"1", b"2", b"3"]


@pytest.mark.parametrize(
    "late",
    [
        b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 299 Stale\r\nContent-Length: 0\r\n\r\n",
        b"rubbish\r\n",
    ],
)
async def test_what_comes_without_a_request_is_no_answer(late: bytes) -> None:
    """What a receiver says on an idle connection is no answer to the next request, and does not fail it."""
    async with receiving() as receiver, sending(receiver) as outgoing:
        assert (await outgoing.post(b"1", {})).status == 200
        [request] = receiver.requests
        request.writer.write(late)
        await request.writer.drain()
        await eventually(lambda: has_come(outgoing))
        assert [(await outgoing.post(body, {})).status for body in (b"2", b"3")] == [200, 200]
    assert [request.body for request in receiver.requests] == [b"1", b"2", b"3"]
    assert receiver.connections == 2


async def test_a_connection_that_was_closed_meanwhile_is_not_used() -> None:
    """A receiver may close its connections between requests: the next request makes another."""
    answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    async with receiving(answer) as receiver, sending(receiver) as outgoing:
        await outgoing.post(b"1", {})
        await outgoing.post(b"2", {})
    assert [request.body for request in receiver.requests] == [b"1", b"2"]


async def test_more_than_its_connections_wait_outside_the_timeout() -> None:
    """No more connections are made than allowed; exchanges that wait for one do not use up their time."""
    release = asyncio.Event()

    async def slow(request: Request) -> bytes:
        await release.wait()
        return OK

    async with receiving(slow) as receiver, sending(receiver, connections=2, timeout=10) as outgoing:
        posts = [asyncio.create_task(outgoing.post(b"{}", {})) for _ in range(12)]
        await eventually(lambda: len(receiver.requests) == 2)
        began = asyncio.get_running_loop().time()
        release.set()
        exchanges = await asyncio.gather(*posts)
        waited = asyncio.get_running_loop().time() - began
    assert receiver.connections == 2
    assert max(exchange.seconds for exchange in exchanges[2:]) <= waited


async def test_a_receiver_that_hangs_does_not_matter_to_another() -> None:
    """Each target has connections of its own: all those of one may wait while another answers."""
    async with (
        receiving(until_over) as hanging,
        receiving() as other,
        sending(hanging, connections=4) as slow,
        sending(other) as fast,
    ):
        waiting = [asyncio.create_task(slow.post(b"{}", {})) for _ in range(100)]
        await eventually(lambda: len(hanging.requests) == 4)
        assert {(await fast.post(b"{}", {})).status for _ in range(20)} == {200}
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert len(hanging.requests) == 4


async def test_an_answer_before_the_end_of_a_long_body_counts() -> None:
    """A receiver may refuse a large body by its headers alone, and close: its status is what the exchange brings."""
    refusal = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig"
    async with refusing(refusal) as port, Outgoing(_target(port)) as outgoing:
        exchange = await outgoing.post(b"a" * 20_000_000, {})
    assert exchange.status == 413


async def test_a_large_body_arrives_whole() -> None:
    """A body of some megabytes is written in pieces, with its length before it."""
    body = bytes(range(256)) * 20_000
    async with receiving() as receiver, sending(receiver) as outgoing:
        await outgoing.post(body, {})
    [request] = receiver.requests
    assert (request.body == body, request.headers["content-length"]) == (True, str(len(body)))
    assert "transfer-encoding" not in request.headers


async def test_a_cancelled_exchange_leaves_no_connection_in_use() -> None:
    """A handler that is stopped frees its connection for the next."""
    async with receiving(until_over) as receiver, sending(receiver, connections=1) as outgoing:
        task = asyncio.create_task(outgoing.post(b"{}", {}))
        await eventually(lambda: receiver.requests)
        task.cancel()
        await asyncio.wait([task])
        receiver.answer = OK
        assert (await outgoing.post(b"{}", {})).status == 200
    assert receiver.connections == 2


async def test_a_target_that_is_down_is_unreachable() -> None:
    """Nobody listens: the message says so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with Outgoing(_target(port)) as outgoing:
        with pytest.raises(Unreachable, match="no connection could be made"):
            await outgoing.post(b"{}", {})


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent goes to the target itself: a proxy would reach addresses that nobody judged."""
    async with receiving() as proxy, receiving() as receiver:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv(name.upper(), f"http://127.0.0.1:{proxy.port}")
        async with sending(receiver) as outgoing:
            await outgoing.post(b"{}", {})
    assert (proxy.connections, receiver.connections) == (0, 1)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.1/", "four decimal numbers"),
        ("http://127.0.0.1/", "a loopback address: is it to be reached, name its network in allow_private"),
        ("https://[::ffff:10.0.0.1]/", "an IPv4 address within IPv6"),
        ("https://169.254.169.254/latest/meta-data", "credentials"),
        ("http://8.8.8.8/", "in clear"),
        ("https://user:hush@crm.example/", "no user and no password"),
    ],
)
def test_a_target_that_can_never_be_reached_is_refused_at_once(url: str, why: str) -> None:
    """A URL that is none, and an address that must not be reached, are errors of the settings."""
    with pytest.raises(ConfigError, match=why) as raised:
        Outgoing(Target(url))
    assert "hush" not in str(raised.value)
