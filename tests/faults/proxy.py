"""A TCP proxy that does on demand what bad networks do; it stands between a process and its server."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from support.ports import reserve

__all__ = ["Proxy"]

_BACKLOG = 256
_CHUNK = 65536
_RESET = struct.pack("ii", 1, 0)  # linger for no time: close by a reset


class Proxy:
    """Forwards connections from a port of the loopback to a TCP server, until told to misbehave.

    `delay` (seconds) holds up every chunk of data, in both directions; 0 for none.
    """

    def __init__(self, host: str, port: int) -> None:
        self.delay = 0.0
        self._target = (host, port)
        self._port = reserve()
        self._listener: socket.socket | None = None
        self._links: dict[asyncio.Task[None], _Link] = {}
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._losing = False
        self._cutting = self._after = 0

    @property
    def address(self) -> tuple[str, int]:
        """Where to connect to, host and port; the port stays the same while the proxy refuses."""
        return "127.0.0.1", self._port

    @property
    def url(self) -> str:
        """The same as the URL of a Redis server."""
        return f"redis://127.0.0.1:{self._port}/0"

    async def __aenter__(self) -> Self:
        self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()

    def accept(self) -> None:
        """Take connections, at first or after `refuse`."""
        if self._listener is None:
            self._listener = socket.create_server(self.address, backlog=_BACKLOG)
            self._listener.setblocking(False)
            asyncio.get_running_loop().add_reader(self._listener, self._take, self._listener)

    async def refuse(self) -> None:
        """Refuse new connections and cut those there are."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        self.cut()
        if self._links:
            await asyncio.wait(self._links)

    def cut(self) -> None:
        """Reset every connection."""
        for task, link in self._links.items():
            link.reset = True
            task.cancel()

    def hold(self) -> None:
        """Be a black hole: connections stay, or are made, and nothing comes through until `heal`.

        What was sent meanwhile arrives then, even from a client that has given up, as on a network that was stalled.
        """
        self._flowing.clear()

    def lose_replies(self) -> None:
        """Pass on what clients send, and cut a connection in place of passing on the reply, until `heal`."""
        self._losing = True

    def cut_replies(self, number: int = 1, *, after: int = 0) -> None:
        """Pass on `after` bytes of each of the next replies, so many of them, and cut its connection then."""
        self._cutting, self._after = number, after

    def forget(self) -> None:
        """Pass nothing more on the connections that there are, and say nothing: new ones are not held up.

        So does a gateway that drops what was idle for long.
        """
        for link in self._links.values():
            link.forgotten = True

    def heal(self) -> None:
        """Behave again."""
        self.delay = 0.0
        self._losing = False
        self._flowing.set()
        self.accept()

    def _take(self, listener: socket.socket) -> None:
        """Take a connection and note it, in one step, so that none is there that `refuse` does not know of."""
        with contextlib.suppress(OSError):  # it was given up meanwhile
            link = _Link(listener.accept()[0])
            task = asyncio.create_task(self._serve(link))
            self._links[task] = link
            task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._links.pop(task).close()

    async def _serve(self, link: "_Link") -> None:
        with contextlib.suppress(OSError):  # either end was reset
            await self._flowing.wait()
            await asyncio.get_running_loop().sock_connect(link.server, self._target)
            await _until_one_ends(
                self._pump(link, link.client, link.server, replies=False),
                self._pump(link, link.server, link.client, replies=True),
            )

    async def _pump(self, link: "_Link", source: socket.socket, target: socket.socket, *, replies: bool) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(source, _CHUNK):
            if replies and self._losing:
                return
            if replies and self._cutting:
                self._cutting -= 1
                await loop.sock_sendall(target, data[: self._after])
                return
            if link.forgotten:
                continue
            if self.delay:
                await asyncio.sleep(self.delay)
            await self._flowing.wait()
            await loop.sock_sendall(target, data)


class _Link:
    """The two ends of a connection through the proxy."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.server = socket.socket()
        self.reset = False
        self.forgotten = False
        for end in (self.client, self.server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Close both ends; the server still gets all that was passed on, unless they are to be reset."""
        for end in (self.client, self.server):
            if self.reset:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.close()


async def _until_one_ends(*pumps: Coroutine[Any, Any, None]) -> None:
    """Run both until one is over, then end the other; raises what the first ended with."""
    tasks = [asyncio.create_task(pump) for pump in pumps]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
