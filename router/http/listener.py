"""Accepting connections for a server, as many as may be open at once and no more.

When that many are open, or the system gives no more, the connection that has waited longest for a request is ended for
the next one: a client that only connects takes nothing from those that send requests. While none can be ended, new ones
wait in the kernel's queue.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

from router.http.rate_limit import RateLimit, Sparing
from router.http.server import Server
from router.telemetry import logs

_BACKLOG = 2048
_AT_ONCE = 64  # accepted before anything else gets its turn
_AGAIN = 1.0  # seconds until the system is asked again, where nothing of ours is to end
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_LOGGED = (1 / 60, 1)

_log = logs.get("http")


class Listener:
    """Listens on sockets for a server, of whose connections `most()` may be open; `port` names it in the log.

    `shed` counts, and is called for, each connection that was ended to make room for another.
    """

    def __init__(
        self,
        listening: Sequence[socket.socket],
        server: Server,
        most: Callable[[], int],
        *,
        port: str,
        shed: Callable[[], None] = lambda: None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sockets = listening
        self._server = server
        self._most = most
        self._port = port
        self._shed = shed
        self._taking: set[asyncio.Task[None]] = set()
        self._again: asyncio.TimerHandle | None = None
        self._logged = Sparing(RateLimit(*_LOGGED))
        self._open = False

    def start(self) -> None:
        """Begin to listen; raises OSError."""
        for one in self._sockets:
            one.setblocking(False)
            one.listen(_BACKLOG)
        self._open = True
        self._server.changed = self._resume
        self._watch()

    def close(self) -> None:
        """Accept no more, and close the sockets; may be called more than once."""
        if self._open:
            self._unwatch()
        self._open = False
        if self._again is not None:
            self._again.cancel()
        self._server.changed = lambda: None
        for one in self._sockets:
            one.close()

    def _watch(self) -> None:
        for one in self._sockets:
            self._loop.add_reader(one, self._accept, one)

    def _unwatch(self) -> None:
        for one in self._sockets:
            self._loop.remove_reader(one)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            if len(self._server.connections) + len(self._taking) >= self._most():
                self._make_room("the bound of this port")
                return
            try:
                taken, _ = listening.accept()
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._make_room(error.strerror)
                    return
                if isinstance(error, BlockingIOError | InterruptedError):
                    return
                continue  # that one has gone already
            task = self._loop.create_task(self._take(taken))
            self._taking.add(task)
            task.add_done_callback(self._taking.discard)

    async def _take(self, taken: socket.socket) -> None:
        try:
            taken.setblocking(False)
            with suppress(OSError):
                taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(self._server, taken)
        except OSError:
            taken.close()

    def _make_room(self, why: str | None) -> None:
        """End one connection, and accept no more until it has ended."""
        ended = self._server.make_room()
        if ended:
            self._shed()
        if (more := self._logged.next()) is not None:
            advice = "raise the limit of open files, or find out who connects and asks for nothing"
            number = len(self._server.connections)
            _log.warning("connections_at_limit", port=self._port, open=number, limit=why, advice=advice, **more)
        self._unwatch()
        if self._again is None:
            self._again = self._loop.call_later(_AGAIN, self._resume)

    def _resume(self) -> None:
        """Go on after a connection has ended, or after a while."""
        if self._again is not None and self._open:
            self._again.cancel()
            self._again = None
            self._watch()


def sockets(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on each address of a host that this machine has, all on one port; 0 is any.

    Raises OSError.

    One address may be missing, such as that of IPv6 behind the name `localhost`; but no port may be somebody else's.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    bound: list[socket.socket] = []
    refused = OSError(errno.EADDRNOTAVAIL, "no such address")
    for family, _, _, _, address in dict.fromkeys(found):
        wanted = bound[0].getsockname()[1] if bound else port
        try:
            # It listens at once: of two that bind to a port at the same moment only one can do that.
            one = socket.create_server((address[0], wanted, *address[2:]), family=family, backlog=_BACKLOG)
            bound.append(one)
        except OSError as error:
            refused = OSError(error.errno, os.strerror(error.errno or 0))  # without the address, which callers name
            if error.errno == errno.EADDRINUSE:
                break
    if not bound or refused.errno == errno.EADDRINUSE:
        for one in bound:
            one.close()
        raise refused
    return bound
