"""Encryption in front of a server that has none: what a client sees of it is the same."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import trustme

__all__ = ["Certificates", "encrypting"]

_HANDSHAKE = 0x16  # the first byte of every TLS connection


class Certificates:
    """An authority, what it signed for a server of the loopback and for a client, in files of a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._authority = trustme.CA()
        self.authority = folder / "ca.pem"
        self.client = folder / "client.pem"
        self.client_key = folder / "client-key.pem"
        self._authority.cert_pem.write_to_path(self.authority)
        client = self._authority.issue_cert("router.test")
        client.cert_chain_pems[0].write_to_path(self.client)
        client.private_key_pem.write_to_path(self.client_key)

    def context(self, *names: str, ask_client: bool = False) -> ssl.SSLContext:
        """Return what a server of these names (those of the loopback) encrypts with.

        With `ask_client` it takes no client without a certificate of ours.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority.issue_cert(*names or ("localhost", "127.0.0.1")).configure_cert(context)
        if ask_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.authority)
        return context


@contextlib.asynccontextmanager
async def encrypting(
    context: ssl.SSLContext, target: int = 0, *, plain_too: bool = False
) -> AsyncIterator["EncryptingProxy"]:
    """Yield a proxy before a port of the loopback; with `plain_too` it takes unencrypted connections as well."""
    proxy = EncryptingProxy(context, target, plain_too=plain_too)
    accepting = asyncio.create_task(proxy.accept())
    try:
        yield proxy
    finally:
        accepting.cancel()
        await asyncio.wait([accepting])
        await proxy.aclose()


class EncryptingProxy:
    """Takes TLS connections at `port` and passes what is in them on to `target`, which may be set later."""

    def __init__(self, context: ssl.SSLContext, target: int, *, plain_too: bool) -> None:
        self.target = target
        self._context = context
        self._plain_too = plain_too
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self._connections: set[asyncio.Task[None]] = set()

    async def accept(self) -> None:
        """Serve connections until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(self._listener)
            task = asyncio.create_task(self._serve(connection))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def aclose(self) -> None:
        """End all connections."""
        self._listener.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            encrypted = not self._plain_too or await _first_byte(connection) == _HANDSHAKE
            client = await _accepted(connection, self._context if encrypted else None)
            async with _closing(client[1]):
                server = await asyncio.open_connection("127.0.0.1", self.target)
                async with _closing(server[1]):
                    await _pass_on(client, server)


_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _first_byte(connection: socket.socket) -> int | None:
    """Return the first byte that a client sends, and leave it to be read; None when it sends nothing."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(connection)
    first = connection.recv(1, socket.MSG_PEEK)
    return first[0] if first else None


async def _accepted(connection: socket.socket, context: ssl.SSLContext | None) -> _Streams:
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection, ssl=context)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


@contextlib.asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        yield
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _pass_on(one: _Streams, other: _Streams) -> None:
    """Copy in both directions until one side ends."""
    pumps = [asyncio.create_task(_pump(*pair)) for pair in ((one, other), (other, one))]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(source: _Streams, target: _Streams) -> None:
    with contextlib.suppress(OSError):
        while chunk := await source[0].read(65_536):
            target[1].write(chunk)
            await target[1].drain()
