"""Receivers that a test can make answer in any way, down to the bytes, and that see every connection."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

__all__ = ["OK", "Answering", "Receiver", "Request", "Served", "receiving"]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came, with what its connection is answered by."""

    line: str
    headers: dict[str, str]
    body: bytes
    writer: asyncio.StreamWriter

    @property
    def event_id(self) -> str:
        """The id of its event, without the stream that stands before it in `webhook-id`."""
        return self.headers["webhook-id"].rpartition("/")[2]


Answering = Callable[[Request], Awaitable[bytes]]


@dataclass
class Receiver:
    """Answers each request with the same bytes, or with those that a function returns; none end the connection."""

    answer: bytes | Answering
    port: int = 0
    connections: int = 0
    requests: list[Request] = field(default_factory=list)
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self.connections += 1
        self.serving.add(asyncio.current_task())  # type: ignore[arg-type]
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while answer := await self._answered(await _read(reader, writer)):
                writer.write(answer)
                await writer.drain()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            writer.close()
            await writer.wait_closed()

    async def _answered(self, request: Request) -> bytes:
        self.requests.append(request)
        return self.answer if isinstance(self.answer, bytes) else await self.answer(request)


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request:
    line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in lines) if name}
    return Request(line, headers, await reader.readexactly(int(headers.get("content-length", 0))), writer)


@contextlib.asynccontextmanager
async def receiving(
    answer: bytes | Answering = OK, host: str = "127.0.0.1", port: int = 0, context: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """Yield a receiver at an address of the loopback: at a free port, or at one that another address of it has."""
    receiver = Receiver(answer)
    server = await asyncio.start_server(receiver.serve, host, port, ssl=context)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in receiver.serving:
            task.cancel()
        await asyncio.gather(*receiver.serving, return_exceptions=True)


class Served:
    """A receiver in a thread of its own, since a command has its own event loop."""

    def __init__(self) -> None:
        self.receiver: Receiver | None = None
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()

    def start(self, answer: Answering | bytes = OK) -> Receiver:
        """Serve, and return the receiver."""
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(answer),))
        self._thread.start()
        self._ready.wait(30)
        assert self.receiver is not None
        return self.receiver

    async def _serve(self, answer: Answering | bytes = OK) -> None:
        async with receiving(answer) as self.receiver:
            self._ready.set()
            await self._over.wait()

    def end(self) -> None:
        """End, if it was started."""
        if self.receiver is not None:
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(30)
        self._loop.close()
