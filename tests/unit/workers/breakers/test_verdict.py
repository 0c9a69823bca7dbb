"""What a call says of its target."""

import errno
import http.client
import json
import socket
import ssl
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError, URLError

import aiohttp
import pytest
from yarl import URL

from workers import DeadLetter, Defer, RetryLater
from workers.breakers.verdict import Verdict, judged, reason_of

ABOUT: Any = SimpleNamespace(real_url=URL("http://x"), method="GET", url=URL("http://x"), headers={})


def answered(status: int) -> aiohttp.ClientResponseError:
    """Return what aiohttp raises for a status."""
    return aiohttp.ClientResponseError(ABOUT, (), status=status)


def with_response(status: int) -> Exception:
    """Return an error that has the answer, as httpx and requests raise it."""
    error = OSError("refused")
    error.response = SimpleNamespace(status_code=status)  # type: ignore[attr-defined]
    return error


def of_package(module: str, name: str) -> Exception:
    """Return an error of a class that is named so, of a package that is not installed."""
    base = type(name, (OSError,), {"__module__": module})
    error: Exception = type("Sub", (base,), {"__module__": "elsewhere"})("x")
    return error


DOWN = [
    TimeoutError(),
    ConnectionRefusedError(),
    ConnectionResetError(),
    socket.gaierror(-2, "unknown"),
    ssl.SSLError("bad certificate"),
    OSError(errno.EHOSTUNREACH, "no route"),
    aiohttp.ServerDisconnectedError(),
    aiohttp.ServerTimeoutError(),
    aiohttp.ClientConnectionError(),
    aiohttp.ClientPayloadError(),
    http.client.RemoteDisconnected(),
    http.client.IncompleteRead(b""),
    URLError(ConnectionRefusedError()),
    URLError(TimeoutError()),
    answered(500),
    answered(503),
    with_response(502),
    of_package("httpx", "TimeoutException"),
    of_package("requests.exceptions", "ConnectionError"),
    ExceptionGroup("x", [ValueError(), TimeoutError()]),
    ExceptionGroup("x", [answered(404), answered(503)]),
]
UP = [
    answered(400),
    answered(404),
    answered(429),
    with_response(422),
    ExceptionGroup("x", [ValueError(), answered(404)]),
]
UNKNOWN = [
    ValueError(),
    KeyError("x"),
    FileNotFoundError(errno.ENOENT, "x"),
    json.JSONDecodeError("x", "", 0),
    URLError("unknown url type"),
    RetryLater(1),
    Defer(1),
    DeadLetter(),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("error", DOWN, ids=repr)
def test_what_says_that_it_is_down(error: BaseException) -> None:
    """Time-outs, connections that fail, and 5xx, of any client and in a group."""
    assert judged(error, None) is Verdict.DOWN


@pytest.mark.parametrize("error", [*UP, None], ids=repr)
def test_what_says_that_it_is_up(error: BaseException | None) -> None:
    """Success, and any other answer: a bad record that is refused never opens a breaker."""
    assert judged(error, None) is Verdict.UP


@pytest.mark.parametrize("error", UNKNOWN, ids=repr)
def test_what_says_nothing(error: BaseException) -> None:
    """An error of the handler's own, or what it asks for: nobody knows whether the target has answered."""
    assert judged(error, None) is Verdict.UNKNOWN


def test_a_file_that_urllib_could_not_get() -> None:
    """The status that urllib raises counts, and not that its error is one of the system."""
    for status, verdict in ((404, Verdict.UP), (503, Verdict.DOWN)):
        with HTTPError("http://x", status, "x", http.client.HTTPMessage(), None) as error:
            assert judged(error, None) is verdict


@pytest.mark.parametrize(("status", "verdict"), [(200, Verdict.UP), (404, Verdict.UP), (500, Verdict.DOWN)])
@pytest.mark.parametrize("error", [None, ValueError()], ids=repr)
def test_a_status_that_is_said_counts(status: int, verdict: Verdict, error: Exception | None) -> None:
    """Where the handler says how it was answered, that is known, whatever comes of it."""
    assert judged(error, status) is verdict


def test_further_errors() -> None:
    """A driver of its own has errors of its own."""

    class Gone(Exception):
        """The server is gone."""

    assert judged(Gone(), None) is Verdict.UNKNOWN
    assert judged(Gone(), None, (Gone,)) is Verdict.DOWN


def test_the_reason_holds_no_text_of_an_error() -> None:
    """It is shown to everybody: a class or a status, since a text may hold an address with a secret."""
    assert reason_of(ConnectionError("https://user:secret@x"), None) == "ConnectionError"
    assert reason_of(answered(503), None) == "status 503"
    assert reason_of(None, 500) == "status 500"
