"""What a call says of its target: whether that is down; of a worker's handler also whether it is out of time."""

import asyncio
import errno
import http.client
import socket
import ssl
from collections.abc import Iterator
from enum import Enum

import aiohttp

from workers.failure import members_of
from workers.handlers.scope import SCOPE

__all__ = ["Verdict", "judged", "reason_of"]

_DOWN = 500
_STATUSES = range(100, 600)
_FAILURES = (
    TimeoutError,
    ConnectionError,
    socket.gaierror,
    ssl.SSLError,
    http.client.IncompleteRead,
    http.client.BadStatusLine,
    aiohttp.ClientConnectionError,
    aiohttp.ClientPayloadError,
)
_NUMBERS = frozenset(
    getattr(errno, name)
    for name in ("EHOSTUNREACH", "EHOSTDOWN", "ENETUNREACH", "ENETDOWN", "ENETRESET", "ETIMEDOUT", "EADDRNOTAVAIL")
    if hasattr(errno, name)
)
_NAMES = frozenset(
    {
        "httpx.TimeoutException",
        "httpx.NetworkError",
        "httpx.RemoteProtocolError",
        "httpx.ProxyError",
        "requests.exceptions.ConnectionError",
        "requests.exceptions.Timeout",
        "requests.exceptions.ChunkedEncodingError",
        "urllib3.exceptions.TimeoutError",
        "urllib3.exceptions.NewConnectionError",
        "urllib3.exceptions.ProtocolError",
    }
)
"""Of packages that a handler may use and this one does not."""


class Verdict(Enum):
    """What a call says of its target: that it is up, that it is down, or nothing."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"


def judged(error: BaseException | None, status: int | None, also: tuple[type[BaseException], ...] = ()) -> Verdict:
    """Judge by the error that a call ended in and the status of HTTP that was answered, None for none.

    Time-outs, connections that fail and 5xx say that it is down; any other answer says that it is up, also one that
    refuses a bad record. An error that has no status and is none of these says nothing. `also` are further errors that
    say that it is down.
    """
    if status is not None:
        return _of_status(status)
    if error is None:
        return Verdict.UP
    found = {_of_error(member, also) for member in members_of(error)}
    return next((verdict for verdict in (Verdict.DOWN, Verdict.UP) if verdict in found), Verdict.UNKNOWN)


def reason_of(error: BaseException | None, status: int | None) -> str:
    """Say in a few words why a call failed: the status, or the class of the error. Its text may hold secrets."""
    members = [] if error is None else members_of(error)
    known = status if status is not None else next(filter(None, map(_status_of, members)), None)
    if known is not None:
        return f"status {known}"
    return "the handler's time-out" if isinstance(error, asyncio.CancelledError) else type(members[0]).__name__


def _of_status(status: int) -> Verdict:
    return Verdict.DOWN if status >= _DOWN else Verdict.UP


def _of_error(error: BaseException, also: tuple[type[BaseException], ...]) -> Verdict:
    if isinstance(error, also):
        return Verdict.DOWN
    if isinstance(error, asyncio.CancelledError):
        return Verdict.DOWN if _out_of_time() else Verdict.UNKNOWN
    if (status := _status_of(error)) is not None:
        return _of_status(status)
    return Verdict.DOWN if any(map(_is_failure, _causes(error))) else Verdict.UNKNOWN


def _out_of_time() -> bool:
    """Tell whether the attempt that runs here is ended since the handler took too long."""
    scope = SCOPE.get()
    return scope is not None and scope.owner is not None and scope.owner.timed_out


def _status_of(error: BaseException) -> int | None:
    """Return the status of HTTP that an error of some client names."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status", "status_code"):
            value = getattr(holder, name, None)
            if type(value) is int and value in _STATUSES:
                return value
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and what a URLError says that it came from."""
    yield error
    if isinstance(reason := getattr(error, "reason", None), BaseException):
        yield reason


def _is_failure(error: BaseException) -> bool:
    if isinstance(error, _FAILURES) or (isinstance(error, OSError) and error.errno in _NUMBERS):
        return True
    return any(f"{kind.__module__}.{kind.__qualname__}" in _NAMES for kind in type(error).__mro__)
