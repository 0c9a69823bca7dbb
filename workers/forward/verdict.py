"""What an answer of a receiver means for the event: a pure function of it."""

import math
from http import HTTPStatus
from typing import Final

from workers.failure import Detailed
from workers.outcomes import BreakerOpen, Defer
from workers.outgoing.target import Exchange

__all__ = ["BadAnswer", "Gone", "kind_of", "verdict"]

_GONE: Final = 410
_LATER: Final = (429, 503)
_LONGEST: Final = 3600.0
"""Seconds that one Retry-After puts an event off at most: a receiver that names a far time is asked again before."""
_SHORTEST: Final = 1.0
_SOON: Final = 1.0
"""Seconds until an event comes again that found its receiver gone: unless the subscription is paused by then."""


class BadAnswer(Detailed):
    """The receiver answered, and did not take the event; the detail is the beginning of its answer."""


class Gone(BreakerOpen):
    """The receiver answered 410: its subscription is paused, and the event waits for as long as it takes."""


def verdict(exchange: Exchange, answer: str) -> BaseException | None:
    """Return what becomes of the event: None where it is done, else the outcome; `answer` is the text of its body."""
    status = exchange.status
    if status in range(200, 300):
        return None
    if status == _GONE:
        return Gone(_SOON, "the receiver answered 410 Gone")
    if status in _LATER and exchange.retry_after is not None:
        return Defer(asked(exchange.retry_after), f"the receiver answered {named(status)} and named a time")
    return BadAnswer(f"the receiver answered {named(status)}{_advice(status)}", answer)


def asked(seconds: float) -> float:
    """Return for how long an event is put off that a receiver put off for so many seconds."""
    return min(max(seconds, _SHORTEST), _LONGEST) if math.isfinite(seconds) else _LONGEST


def kind_of(status: int) -> str:
    """Return what a status is counted as."""
    return str(status) if status in (_GONE, *_LATER) else f"{status // 100}xx"


def named(status: int) -> str:
    """Return a status with its words, where it has any."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _advice(status: int) -> str:
    return "; redirections are not followed: set url to where it leads" if status in range(300, 400) else ""
