"""The server below ingress: senders that do not read, and requests that are not what they say."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.waiting import eventually

from config.settings import IngressSettings
from router.http.connection import Connection
from router.http.parser import RawRequestMessage
from router.http.response import Response
from router.http.server import Server

PATIENCE = 0.2


class Echo:
    """Answers everything with the same body; refuses with the name of the error."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.errors: list[Exception] = []

    def find(self, _head: RawRequestMessage, _connection: Connection) -> None:
        """Find no door."""

    def admit(self, _head: RawRequestMessage) -> None:
        """Admit everything."""

    def accept(self, _door: None, _head: RawRequestMessage, _body: bytes, connection: Connection) -> None:
        """Answer at once."""
        connection.answer(Response(200, self.body))

    def refuse(self, error: Exception, _door: Any, _connection: Connection) -> Response:
        """Answer 400."""
        self.errors.append(error)
        return Response(400, type(error).__name__.encode(), close=True)


@asynccontextmanager
async def serving(answer: bytes) -> AsyncIterator[tuple[Server, int]]:
    """Run a server that answers everything so, over connections whose kernel buffers are small."""
    server = Server(Echo(answer), IngressSettings(header_timeout=5, keepalive=PATIENCE))
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    listener.bind(("127.0.0.1", 0))
    listening = await asyncio.get_running_loop().create_server(server, sock=listener)
    try:
        yield server, listener.getsockname()[1]
    finally:
        listening.close()
        server.close()
        server.abort()


@asynccontextmanager
async def deaf(port: int) -> AsyncIterator[socket.socket]:
    """Connect, and never read."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        yield connection


async def read_until(connection: socket.socket, end: bytes) -> bytes:
    """Read until what was read ends so."""
    data = b""
    while not data.endswith(end):
        data += await asyncio.get_running_loop().sock_recv(connection, 65_536)
    return data


@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize("size", [40_000, 400_000], ids=["a little left", "much left"])
async def test_a_sender_that_does_not_read_is_cut_off(size: int, *, closes: bool) -> None:
    """An answer that is not taken within the time for silence ends the connection, closed by us before or not."""
    async with serving(b"x" * size) as (server, port), deaf(port) as connection:
        request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: %s\r\n\r\n" % (b"close" if closes else b"keep-alive")
        await asyncio.get_running_loop().sock_sendall(connection, request)
        await eventually(lambda: server.requests_count == 1)
        await eventually(lambda: not server.connections)


async def test_a_sender_that_reads_late_gets_all_of_its_answers() -> None:
    """A pause in reading that is short enough costs nothing; what it had sent on is answered after it."""
    async with serving(b"x" * 400_000 + b"end") as (server, port), deaf(port) as connection:
        await asyncio.get_running_loop().sock_sendall(connection, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        await eventually(lambda: any(one.writing_paused for one in server.connections))
        assert server.requests_count == 1
        first = await read_until(connection, b"end")
        second = await read_until(connection, b"end") if first.count(b"HTTP/1.1 200") == 1 else b""
        assert (first + second).count(b"HTTP/1.1 200 OK") == 2
        assert len(first + second) > 800_000


async def test_a_connection_that_is_lost_while_it_does_not_read_is_forgotten() -> None:
    """A sender that goes away with answers under way leaves no clock behind."""
    async with serving(b"x" * 400_000) as (server, port):
        async with deaf(port) as connection:
            await asyncio.get_running_loop().sock_sendall(connection, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await eventually(lambda: any(one.writing_paused for one in server.connections))
            [handler] = server.connections
        await eventually(lambda: not server.connections)
        assert handler._deadline._timer is None


@pytest.mark.parametrize("version", ["0.9", "2.0"])
async def test_another_version_is_refused_in_ours(version: str) -> None:
    """400 in HTTP/1.1 for a request that the parser takes, but that says it is of another version."""
    async with serving(b"never") as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET / HTTP/{version}\r\nHost: x\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"never" not in answer
