"""What the headers of an answer say of a quota; a pure function of them, the status and the time."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from router.store.limits import Heard

__all__ = ["heard_in"]

_REFUSED = 429
_FAILED = 500
_AT_THE_DOOR = (401, 403, 407)
"""Answers of who lets requests in, which may come before anything counts them: without headers they say nothing."""
_UNSAID = 60.0
"""Seconds for which calls are held back after a refusal that does not say for how long."""
_SECONDS = 1e9
"""Below this a number of seconds is a span, above it a time; above a thousand times this it is in milliseconds."""
_MOST = 1 << 53
_NUMBER = re.compile(r"\s*(\d{1,18})(\.\d{1,9})?\s*(?:[,;].*)?", re.ASCII)
_NEGATIVE = re.compile(r"\s*-\d{1,18}(?:\.\d{1,9})?\s*(?:;.*)?", re.ASCII)
_SHORTEST = 1.0
"""Seconds to the end of a window whose header names a time that is past: the next one has begun."""
_WINDOW = re.compile(r";\s*w=(\d{1,9})")


def heard_in(prefix: str | None, headers: Mapping[str, str], status: int, now: float) -> Heard:
    """Return what an answer says of its quota, in headers that begin with this prefix; `now` in epoch seconds.

    status: of the answer, 0 where there was none. A refusal (429) closes the quota for its Retry-After, or else until
    the end of its window, or for a minute.
    """
    given = dict[str, str]()
    for said, value in headers.items():  # a header that comes several times is a list
        name = said.lower()
        given[name] = f"{given[name]}, {value}" if name in given else value
    sent = _moment(given.get("date", "")) or now
    found = _said(prefix.lower(), given, sent) if prefix else Heard()
    if status == _REFUSED:
        closed = _span(given.get("retry-after", ""), sent)
        return found._replace(closed=_first(closed, found.ends_in, _UNSAID))
    return found._replace(answered=0 < status < _FAILED and status not in _AT_THE_DOOR)


def _said(prefix: str, given: Mapping[str, str], sent: float) -> Heard:
    limit = _count(given.get(f"{prefix}-limit", ""))
    left = _left(given.get(f"{prefix}-remaining", ""), limit)
    ends_in = _span(given.get(f"{prefix}-reset", ""), sent)
    if ends_in is None and (window := _WINDOW.search(given.get(f"{prefix}-policy", ""))):
        ends_in = float(window[1])
    return Heard(limit, left, ends_in)


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _left(text: str, limit: int | None) -> int | None:
    """Return the least of what a header says is left: nothing below zero, and no more than a limit."""
    values = text.split(",")
    found = [count for value in values if (count := _count(value)) is not None]
    if limit:
        found += [0 for value in values if _NEGATIVE.fullmatch(value)]
        found = [min(count, limit) for count in found]
    return min(found, default=None)


def _count(text: str) -> int | None:
    found = _NUMBER.fullmatch(text)
    return min(int(found[1]), _MOST) if found else None


def _span(text: str, sent: float) -> float | None:
    """Return how many seconds after `sent` a header names, as a span or as a time; None where it names nothing.

    A whole number may have been rounded down: it is taken for the second that follows.
    """
    if found := _NUMBER.fullmatch(text):
        number = float(found[1] + (found[2] or "")) + (0.0 if found[2] else 1.0)
        if number > _SECONDS * 1000:
            number = number / 1000 + 1.0
        return max(_SHORTEST, number - sent) if number > _SECONDS else number
    moment = _moment(text)
    return None if moment is None else max(0.0, moment - sent) + 1.0


def _moment(text: str) -> float | None:
    """Return a date of HTTP or of ISO 8601 in epoch seconds."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            found = read(text.strip())
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError, OSError):
            continue
    return None
