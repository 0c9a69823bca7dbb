"""Reads what a server answered, and takes nothing for an answer that is not well-formed."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Response", "first_of", "responses"]

_HEAD = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2}) [ -~]*((?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+: [ -~]*)*)\r\n\r\n")


@dataclass(frozen=True, slots=True)
class Response:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes


def first_of(data: bytes, *, bodiless: bool = False) -> tuple[Response, bytes] | None:
    """Return the first whole response and what is behind it; None while there is none. Raises AssertionError.

    `bodiless`: it answers a HEAD, so its length is that of a body which does not come.
    """
    if b"\r\n\r\n" not in data:
        return None
    head = _HEAD.match(data)
    assert head, f"no well-formed HTTP: {data[:200]!r}"
    status = int(head[1])
    lines = [line.split(": ", 1) for line in head[2].decode().split("\r\n") if line]
    headers = {name.lower(): value for name, value in lines}
    assert len(headers) == len(lines), f"a header twice: {lines}"
    rest = data[head.end() :]
    if status == 100 or (bodiless and not rest):
        return Response(status, headers, b""), rest
    length = int(headers["content-length"])
    if len(rest) < length:
        return None
    response = Response(status, headers, rest[:length])
    _check(response)
    return response, rest[length:]


def responses(data: bytes, *, bodiless: bool = False) -> Iterator[Response]:
    """Yield all responses in `data`; raises AssertionError unless it consists of them."""
    while found := first_of(data, bodiless=bodiless):
        response, data = found
        yield response
    assert not data, f"half an answer: {data[:200]!r}"


def _check(response: Response) -> None:
    kind, document = response.headers["content-type"], json.loads(response.body)
    if response.status == 202:
        assert kind.startswith("application/json"), kind
        assert set(document) == {"accepted", "duplicates", "quarantined"}, document
        return
    assert 400 <= response.status < 500, f"{response.status}: {document}"
    assert kind == "application/problem+json", kind
    assert set(document) == {"type", "title", "status", "detail"}, document
    assert document["status"] == response.status, document
