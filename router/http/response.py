"""Answers, and their bytes on the wire; errors as `application/problem+json` (RFC 9457)."""

import json
import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Response(NamedTuple):
    """An answer; `close` ends the connection after it."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] | None = None
    close: bool = False

    def having(self, headers: Mapping[str, str]) -> "Response":
        """Return the same answer with these headers too; those that it has already stay."""
        return self._replace(headers={**headers, **(self.headers or {})})

    def encoded(self, *, close: bool, keep: bool = False, head_only: bool = False) -> bytes:
        """Return its bytes; `head_only` leaves out the body, not its length (RFC 9110, 9.3.2).

        `close` says that the connection ends, `keep` that it does not, which only HTTP/1.0 has to hear.
        """
        head = _head(self.status, self.content_type, len(self.body), "close" if close else "keep-alive" if keep else "")
        extra = (
            "".join(f"{name}: {value}\r\n" for name, value in self.headers.items()).encode() if self.headers else b""
        )
        return b"%b%bDate: %b\r\n\r\n%b" % (head, extra, _date(int(time.time())), b"" if head_only else self.body)


def problem(status: int, detail: str, *, headers: Mapping[str, str] | None = None, close: bool = False) -> Response:
    """Return a response that says in `detail` what was wrong; `close` ends the connection after it."""
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Response(status, json.dumps(body).encode(), "application/problem+json", headers, close)


@lru_cache(maxsize=256)
def _head(status: int, content_type: str, length: int, connection: str) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Type: {content_type}",
        f"Content-Length: {length}",
        *([f"Connection: {connection}"] if connection else []),
    ]
    return "".join(f"{line}\r\n" for line in lines).encode()


@lru_cache(maxsize=2)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()
