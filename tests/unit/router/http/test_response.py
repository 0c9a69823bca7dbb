"""The bytes of answers: `router/http/response.py`."""

from email.utils import parsedate_to_datetime

from router.http.response import Response


def parts(data: bytes) -> tuple[str, dict[str, str], bytes]:
    """Return the status line, the headers and the body."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return first, dict(line.split(": ", 1) for line in lines), body


def test_an_answer_says_how_long_it_is_of_what_type_and_when_it_was_made() -> None:
    """Content-Length, Content-Type, and Date (RFC 9110, 6.6.1); nothing of what serves it."""
    first, headers, body = parts(Response(202, b"{}").encoded(close=False))
    assert first == "HTTP/1.1 202 Accepted"
    assert parsedate_to_datetime(headers.pop("Date")).tzinfo is not None
    assert headers == {"Content-Type": "application/json", "Content-Length": "2"}
    assert body == b"{}"


def test_further_headers_and_the_end_of_the_connection_are_told() -> None:
    """Headers of its own come with it, and `Connection: close` where nothing follows."""
    response = Response(405, b"no", "text/plain", {"Allow": "POST"})
    _, headers, _ = parts(response.encoded(close=True))
    assert (headers["Allow"], headers["Connection"], headers["Content-Type"]) == ("POST", "close", "text/plain")


def test_the_answer_to_head_has_the_length_of_the_body_and_no_body() -> None:
    """As for the same request by another method (RFC 9110, 9.3.2)."""
    _, headers, body = parts(Response(404, b"nothing").encoded(close=False, head_only=True))
    assert headers["Content-Length"] == "7"
    assert body == b""
