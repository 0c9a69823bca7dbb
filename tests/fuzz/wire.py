"""The rules that hold for whatever is written to the port of an ingress: a real process, over real connections."""

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path

from fuzz.audit import Audit
from fuzz.failure import Failure
from fuzz.mutate import small
from fuzz.requests import HEADER, Answer, Exchange, Requests, sign, whole
from fuzz.responses import Response, first_of, responses
from support.corpus import load_corpus
from support.memory import resident
from support.processes import SECRET, running_system
from support.stores import fresh_keys, running_server

from router.store.client import connect

__all__ = ["fuzz", "replay"]

_SENDERS = 24
_ANSWERED = 20.0
"""Seconds within which a request in good order is answered, on a slow machine."""
_SILENCE = 0.05
"""Seconds after which a sender of something odd believes that nothing more comes."""
_GROWTH = 96
"""MiB that the process may take more at the end than after a tenth of the cases."""
_TOKEN = re.compile(rb"[A-Za-z0-9+/]{43}=")


async def fuzz(folder: Path, cases: int, seed: int, told: Callable[[str], None] = lambda _text: None) -> None:
    """Play so many cases against an ingress of our own, and look at everything afterwards; raises Failure."""
    requests = Requests(seed, SECRET.encode(), small(case.body for case in load_corpus()))
    async with _target(folder) as target:
        numbers = iter(range(cases))
        early, step = 0.0, max(1, cases // 10)

        async def sender() -> None:
            nonlocal early
            line: _Line | None = None
            for number in numbers:
                exchange = requests.make(number)
                try:
                    line = await target.play(exchange, line)
                except Exception as error:
                    raise Failure("wire", seed, number, f"{type(error).__name__}: {error}", exchange.data) from error
                if number % step == step - 1:
                    await target.is_well()
                    early = early or target.memory()
                    told(f"{number + 1} cases, {target.memory():.0f} MiB resident")
            if line:
                line.close()

        await _together([sender() for _ in range(_SENDERS)])
        try:
            await target.look_back()
            assert target.memory() < early + _GROWTH, f"it grew from {early:.0f} to {target.memory():.0f} MiB"
        except AssertionError as error:
            raise Failure("wire", seed, cases, str(error), b"") from error


async def _together(work: Sequence[Coroutine[None, None, None]]) -> None:
    """Do all of it at once; raise the first error that ends it."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except* Failure as failures:
        raise failures.exceptions[0] from None


async def replay(folder: Path, data: bytes) -> list[Response]:
    """Write these bytes to an ingress of our own; return what it answers. Raises AssertionError."""
    async with _target(folder) as target:
        line = await target.connect()
        line.writer.write(data)
        answers = list(responses(await line.silence(), bodiless=data.startswith(b"HEAD")))
        line.close(reset=True)
        await target.is_well()
    return answers


@asynccontextmanager
async def _target(folder: Path) -> AsyncIterator["_Target"]:
    with running_server() as url:
        store = connect(url, fresh_keys())
        async with running_system(folder, ROUTER_REDIS__URL=url, ROUTER_REDIS__PREFIX=store.keys.prefix) as system:
            process = await system.start("ingress")
            await system.ready()
            yield _Target(system.port, process.pid, Audit(store), system.logs)
            assert process.returncode is None, "the process died"
        await store.aclose()


class _Target:
    """The ingress, and what it must have done by now."""

    def __init__(self, port: int, pid: int, audit: Audit, logs: Callable[[], str]) -> None:
        self._port = port
        self._pid = pid
        self._audit = audit
        self._logs = logs
        self._signatures: set[bytes] = set()
        self._good = count()

    def memory(self) -> float:
        return resident(self._pid)

    async def connect(self) -> "_Line":
        return _Line(*await asyncio.open_connection("127.0.0.1", self._port))

    async def play(self, exchange: Exchange, line: "_Line | None") -> "_Line | None":
        """Play one exchange; return the connection if it can be used again."""
        for body in exchange.signed:
            self._signatures.add(sign(SECRET.encode(), body))
        self._audit.expect(exchange)
        if exchange.answer is Answer.ANY:
            await self._odd(exchange)
            return line
        return await self._good_order(exchange, line)

    async def _good_order(self, exchange: Exchange, line: "_Line | None") -> "_Line":
        line = line or await self.connect()
        line.writer.write(exchange.data)
        wanted = 202 if exchange.answer is Answer.STORED else 401
        for _ in range(exchange.answers):
            async with asyncio.timeout(_ANSWERED):
                response = await line.answer()
            assert response.status == wanted, f"{response} instead of {wanted}"
            assert "connection" not in response.headers, response
        return line

    async def _odd(self, exchange: Exchange) -> None:
        line = await self.connect()
        line.writer.write(exchange.data)
        data = await line.silence()
        line.close(reset=len(exchange.data) % 2 == 0)
        for response in responses(data, bodiless=exchange.data.startswith(b"HEAD")):
            assert response.status in {100, 202} or 400 <= response.status < 500, response

    async def is_well(self) -> None:
        """Assert that a request in good order is answered."""
        body = b'{"event":"customer_changed","notificationId":"good-%d"}' % next(self._good)
        exchange = Exchange(whole(body, sign(SECRET.encode(), body)), (body,), Answer.STORED)
        self._audit.expect(exchange)
        (await self._good_order(exchange, None)).close()

    async def look_back(self) -> None:
        """Assert what can only be seen when all is over: the store, and the log."""
        await self.is_well()
        await self._audit.check()
        logs = self._logs().encode()
        assert SECRET.encode() not in logs, "the secret is in the log"
        assert not self._signatures & set(_TOKEN.findall(logs)), "a signature is in the log"
        assert b'"level": "error"' not in logs, "an error was logged"
        assert HEADER in logs, "the log was not looked at: it names the headers of what was refused"


class _Line:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._data = b""

    async def answer(self) -> Response:
        """Return the next answer."""
        while not (found := first_of(self._data)):
            more = await self._reader.read(65_536)
            assert more, f"the connection ended without an answer, after {self._data!r}"
            self._data += more
        response, self._data = found
        return response

    async def silence(self) -> bytes:
        """Return all that comes until the server closes the connection, or says nothing for a moment."""
        data = b""
        with suppress(TimeoutError, ConnectionError):
            while True:
                async with asyncio.timeout(_SILENCE):
                    more = await self._reader.read(65_536)
                if not more:
                    break
                data += more
        return data

    def close(self, *, reset: bool = False) -> None:
        """End the connection; with `reset`, rudely."""
        if reset:
            found: socket.socket = self.writer.get_extra_info("socket")
            with suppress(OSError):
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort() if reset else self.writer.close()
