"""Strangers at the operations port, the console and the port for webhooks of running processes, over raw connections.

What a request carries never comes back in an answer that refuses it, nor in a log; and whoever only connects takes
nothing from those who ask.
"""

import asyncio
import json
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from support.memory import descriptors
from support.processes import System, running_system
from support.waiting import eventually

pytestmark = pytest.mark.real

NEEDLE = b"tokenthatnobodymaysee"
POST = b"POST /login HTTP/1.1\r\nHost: x\r\n"
TOKEN = "an-operations-token-of-the-tests"
FILES = 1024
CROWD = 1100
QUICK_CROWDS = {("webhooks", "half a head"), ("worker", "silent")}
"""One at the port for webhooks and one at an operations port: the others take long."""

BEARER = b"Authorization: Bearer " + NEEDLE
CLIENT_HELLO = bytes.fromhex("16030100c8010000c40303") + NEEDLE * 8

MALFORMED: dict[str, bytes] = {
    "a token that ends with CR": b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + BEARER + b"\r\r\n\r\n",
    "a token with CR in it": b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + BEARER + b"\rx\r\n\r\n",
    "a token with LF in it": b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer\n" + NEEDLE + b"\r\n\r\n",
    "a blank before the colon": b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer " + NEEDLE + b"\r\n\r\n",
    "a NUL": b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + BEARER + b"\0\r\n\r\n",
    "no UTF-8": b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + BEARER + b"\xff\xfe\r\n\r\n",
    "a folded header": b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer\r\n " + NEEDLE + b"\r\n\r\n",
    "a header without a colon": b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + NEEDLE + b"\r\n\r\n",
    "a cookie with a control": b"GET / HTTP/1.1\r\nHost: x\r\nCookie: event-router-1=" + NEEDLE + b"\x01\r\n\r\n",
    "a cookie that ends with CR": b"GET / HTTP/1.1\r\nHost: x\r\nCookie: a=" + NEEDLE + b"\r\r\n\r\n",
    "an oversize cookie": b"GET / HTTP/1.1\r\nHost: x\r\nCookie: a=" + NEEDLE * 2000 + b"\r\n\r\n",
    "a header too long": b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + BEARER * 2000 + b"\r\n\r\n",
    "too many headers": b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + (BEARER + b"\r\n") * 2000 + b"\r\n",
    "a path too long": b"GET /" + NEEDLE * 2000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a bad method": b"G(" + NEEDLE + b") / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a bad version": b"GET / HTTP/" + NEEDLE + b"\r\nHost: x\r\n\r\n",
    "another version": b"GET / HTTP/9.9\r\nHost: x\r\n" + BEARER + b"\r\n\r\n",
    "no request line": NEEDLE + b"\r\n\r\n",
    "a bad length": POST + b"Content-Length: " + NEEDLE + b"\r\n\r\n",
    "a negative length": POST + BEARER + b"\r\nContent-Length: -1\r\n\r\n",
    "two lengths": POST + BEARER + b"\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a bad chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n" + NEEDLE + b"\r\n\r\n",
    "a bad end of a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na" + NEEDLE + b"\r\n",
    "a bad encoding": POST + b"Transfer-Encoding: " + NEEDLE + b"\r\n\r\n",
    "a bad host": b"GET /healthz HTTP/1.1\r\nHost: [" + NEEDLE + b"\r\n" + BEARER + b"\r\n\r\n",
    "a bad target": b"GET http://[" + NEEDLE + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a CONNECT": b"CONNECT [" + NEEDLE + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "an origin that is no URL": POST + b"Origin: http://[" + NEEDLE + b"\r\nContent-Length: 0\r\n\r\n",
    "a length in digits of elsewhere": "POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: ²\r\n\r\n".encode() + NEEDLE,
    "TLS": CLIENT_HELLO,
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + NEEDLE,
}  # fmt: skip


async def exchanged(port: int, data: bytes) -> bytes:
    """Send bytes and no more; return all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    try:
        with suppress(ConnectionError):
            writer.write(data)
            writer.write_eof()
            async with asyncio.timeout(20):
                while more := await reader.read(65_536):
                    received += more
    finally:
        writer.close()
    return received


class House:
    """An ingress, a worker and a console on one store, and where they are."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.ports: dict[str, int] = {}
        self.pids: dict[str, int] = {}

    async def open(self, role: str, *arguments: str) -> None:
        """Start a process, and wait until it listens."""
        process = await self.system.start(*(arguments or (role,)), ROUTER_OPS__PORT="0", ROUTER_OPS__TOKEN=TOKEN)
        self.pids[role] = process.pid
        await eventually(lambda: self._line(role), timeout=30)
        self.ports[role] = int(self._line(role)["ops_port"])
        self.ports["webhooks"] = self.system.port

    def _line(self, role: str) -> dict[str, object]:
        lines = (json.loads(line) for line in self.system.logs().splitlines() if line.startswith("{"))
        return next((line for line in lines if line["event"] == f"{role}_started"), {})

    async def ask(self, role: str, path: str = "/healthz") -> bytes:
        """Ask an operations port for a path; return the answer."""
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        return await exchanged(self.ports[role], head.encode())


@asynccontextmanager
async def house(folder: Path, *roles: str) -> AsyncIterator[House]:
    """Run processes of these roles."""
    async with running_system(folder) as system:
        found = House(system)
        for role in roles:
            await found.open(role, *(("worker", "workers.log_events") if role == "worker" else ()))
        yield found


async def test_what_a_bad_request_carries_never_comes_back(tmp_path: Path) -> None:
    """Whatever is wrong with a request, at whichever port: no answer and no log quotes it, and nothing breaks."""
    async with house(tmp_path, "ingress", "worker", "console") as found:
        for port in found.ports.values():
            for what, data in MALFORMED.items():
                answer = await exchanged(port, data)
                assert NEEDLE not in answer, (port, what, answer)
                assert answer.startswith(b"HTTP/1.1 ") or not answer, (port, what, answer)
                assert b" 500 " not in answer.partition(b"\r\n")[0], (port, what, answer)
        for role in ("ingress", "worker", "console"):
            assert b"200 OK" in await found.ask(role)
        logs = found.system.logs()
    assert NEEDLE.decode() not in logs
    assert "Traceback" not in logs
    assert "exception" not in logs


async def test_a_token_with_a_line_end_is_a_bare_400(tmp_path: Path) -> None:
    """The right token, read from a file with CRLF, is refused in words of ours, and stays a secret."""
    async with house(tmp_path, "ingress") as found:
        data = f"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\r\n\r\n".encode()
        for port in found.ports.values():
            answer = await exchanged(port, data)
            assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n"), answer
            assert TOKEN.encode() not in answer
        assert TOKEN not in found.system.logs()


@asynccontextmanager
async def crowd(port: int, said: bytes = b"") -> AsyncIterator[list[socket.socket]]:
    """Hold many connections that say as much and no more."""
    loop, many = asyncio.get_running_loop(), list[socket.socket]()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        for _ in range(CROWD):
            one = socket.socket()
            one.setblocking(False)
            many.append(one)
            async with asyncio.timeout(20):
                await loop.sock_connect(one, ("127.0.0.1", port))
            with suppress(ConnectionError):
                await loop.sock_sendall(one, said)
        yield many
    finally:
        for one in many:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("where", "said"),
    [
        pytest.param(
            where, said, id=f"{where}-{what}", marks=[] if (where, what) in QUICK_CROWDS else [pytest.mark.long]
        )
        for where in ("ingress", "webhooks", "worker", "console")
        for what, said in (("silent", b""), ("half a head", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"))
    ],
)
async def test_a_crowd_takes_nothing_from_others(tmp_path: Path, where: str, said: bytes) -> None:
    """Connections that ask for nothing end for those that do: all ports go on to answer, and one line says so."""
    role = "ingress" if where == "webhooks" else where
    async with house(tmp_path, *dict.fromkeys(("ingress", role))) as found:
        resource.prlimit(found.pids[role], resource.RLIMIT_NOFILE, (FILES, FILES))
        before = descriptors(found.pids[role])
        async with crowd(found.ports[where], said):
            await found.system.post_many([f"crowd-{number}" for number in range(20)])
            assert b"200 OK" in await found.ask(role)
            metrics = (await found.ask(role, "/metrics")).decode()
            name = "event_router_connections_shed" if where == "webhooks" else "event_router_ops_connections_shed"
            shed = next(float(line.split()[1]) for line in metrics.splitlines() if line.startswith(f"{name}_total"))
            assert shed >= 200
            assert descriptors(found.pids[role]) <= FILES - 64
            if where != "webhooks":
                assert descriptors(found.pids[role]) <= before + 100
        said_so = [line for line in found.system.logs().splitlines() if "connections_at_limit" in line]
        assert len(said_so) == 1
        assert "Too many open files" not in found.system.logs()
