"""An HTTP proxy on a free port that notes what it is asked, and passes it on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from yarl import URL

__all__ = ["Proxy", "proxying"]


class Proxy:
    """What came: the request lines and the credentials. `refuses` answers all with 407."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.credentials: set[str] = set()
        self.refuses = False
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one request on, and its answer back."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *fields = head.split("\r\n")
            names = dict(field.split(": ", 1) for field in fields if field)
            self.lines.append(line)
            self.credentials.add(names.get("Proxy-Authorization", ""))
            if self.refuses or line.startswith("CONNECT"):
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            else:
                body = await reader.readexactly(int(names.get("Content-Length", 0)))
                writer.write(await _passed_on(line, fields, body))
            await writer.drain()
        finally:
            writer.close()


async def _passed_on(line: str, fields: list[str], body: bytes) -> bytes:
    method, target, version = line.split(" ")
    url = URL(target)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    kept = [field for field in fields if field and not field.startswith(("Proxy-", "Connection"))]
    head = "\r\n".join([f"{method} {url.raw_path_qs} {version}", *kept, "Connection: close", "", ""])
    writer.write(head.encode() + body)
    answer = await reader.read()
    writer.close()
    return answer


@asynccontextmanager
async def proxying() -> AsyncIterator[Proxy]:
    """Yield a proxy that serves."""
    proxy = Proxy()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    async with server:
        yield proxy
