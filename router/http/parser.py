"""aiohttp's parser of HTTP requests: the one part of aiohttp used here that aiohttp does not promise to keep.

So it is tried out when it is imported: not only that the names are there, but that they still mean the same. A version
of aiohttp in which they do not is refused before a port is open, and says which one to install.
"""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp import HttpVersion10, HttpVersion11

from config.errors import ConfigError, described

__all__ = ["OLDEST", "ParserUnusable", "RawRequestMessage", "Unparsable", "check", "request_parser"]

OLDEST = "3.14.4"
"""The oldest aiohttp that will do: earlier ones do not stop behind a request, or break on a bad URL."""

_STREAM_LIMIT = 1 << 16  # bytes; without effect, for the `pause_reading` of a connection does nothing


class ParserUnusable(ConfigError):
    """The installed aiohttp does not parse requests in the way that ingress relies on."""

    def __init__(self, reason: str, version: str = aiohttp.__version__) -> None:
        below = f",<{version}" if _numbers(version) > _numbers(OLDEST) else ""
        advice = f"install another: pip install 'aiohttp>={OLDEST}{below}'"
        super().__init__(f"aiohttp {version} is installed, whose HTTP parser cannot be used ({reason}); {advice}")


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")[:3] if part.isdecimal()]


try:
    from aiohttp.http import HttpRequestParser, RawRequestMessage
    from aiohttp.http_exceptions import HttpProcessingError as Unparsable
except ImportError as error:
    raise ParserUnusable(str(error)) from error

Parser = Callable[[Any, Any], HttpRequestParser]
"""Makes the parser of one connection, of the protocol and the event loop."""


def request_parser(protocol: Any, loop: asyncio.AbstractEventLoop) -> HttpRequestParser:
    """Return a parser that stops behind each request and leaves bodies as they were sent.

    The protocol's `pause_reading` and `resume_reading` are called; nothing else of it is used.
    """
    return HttpRequestParser(protocol, loop, _STREAM_LIMIT, auto_decompress=False, max_msg_queue_size=1)


def check(make: Parser = request_parser) -> None:
    """Try a parser out; raises ParserUnusable, with what it does otherwise."""
    protocol = SimpleNamespace(pause_reading=lambda: None, resume_reading=lambda **_: None)
    for rule in (_stops_behind_each_request, _brings_bodies_as_they_come, _names_what_is_no_http):
        try:
            holds = rule(make(protocol, object()))
        except Exception as error:
            raise ParserUnusable(" ".join(described(error).split())) from error
        if not holds:
            raise ParserUnusable(f"it no longer {rule.__name__[1:].replace('_', ' ')}")


def _stops_behind_each_request(parser: HttpRequestParser) -> bool:
    one = b"POST /%d?q HTTP/1.1\r\nHost: h\r\nX-A: %d\r\nX-A: 5\r\nContent-Length: 2\r\n\r\nb%d"
    for number, sent in enumerate((b"".join(one % (n, n, n) for n in range(2)), b"")):
        ((head, payload),), upgraded, _ = parser.feed_data(sent)
        found = (head.method, head.path, head.headers.getall("X-A"), head.version is HttpVersion11, payload.is_eof())
        if found != ("POST", f"/{number}?q", [str(number), "5"], True, True):
            return False
        if head.should_close or head.upgrade or head.chunked or upgraded or payload.read_nowait() != b"b%d" % number:
            return False
    return not parser.feed_data(b"")[0]


def _brings_bodies_as_they_come(parser: HttpRequestParser) -> bool:
    sent, rest = b"x" * (3 * _STREAM_LIMIT), b"no gzip"
    start = b"PUT / HTTP/1.0\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % (len(sent) + len(rest))
    ((head, payload),), _, _ = parser.feed_data(start + sent)
    if head.version is not HttpVersion10 or not head.should_close or payload.is_eof() or payload.read_nowait() != sent:
        return False
    begun, _, _ = parser.feed_data(rest)
    return not begun and payload.is_eof() and payload.read_nowait() == rest and payload.exception() is None


def _names_what_is_no_http(parser: HttpRequestParser) -> bool:
    try:
        parser.feed_data(b"GET http://[ HTTP/1.1\r\nHost: h\r\n\r\n")
    except Unparsable:
        return True
    return False


check()
