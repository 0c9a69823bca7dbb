"""What an answer of the ERP means: a record, or which error. Pure."""

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus

from workers.erp.errors import (
    ErpBusy,
    ErpConflict,
    ErpError,
    ErpRefused,
    ErpUnauthorized,
    ErpUnavailable,
    ErpUnreadable,
)
from workers.erp.transport import Answer, is_redirect, is_success
from workers.outgoing.answer import named_wait
from workers.record import Record

__all__ = ["check", "read_record", "retry_after", "said_by"]

_UNSAID = 60.0
_LONGEST = 2 * 3600.0
"""Seconds a 429 may ask for; its window is an hour."""
_PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY)


def read_record(answer: Answer, about: str, fetched_at: datetime, *, reading: bool) -> Record:
    """Return the record that was answered; raises ErpError. `reading`: a 404 says that the record is gone."""
    if not (reading and answer.status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)):
        check(answer, about, fetched_at)
        body = answer.parsed() if reading else said_by(answer)
        return Record(answer.status, answer.headers.get("ETag"), body, fetched_at=fetched_at)
    if answer.kind == "text/html":
        # A page says that this is no interface at all. Taken as "gone", a wrong base would delete every record.
        raise ErpRefused(f"{about}: answered with a page that says 404; correct base_url", answer.status)
    return Record(answer.status, fetched_at=fetched_at)


def check(answer: Answer, about: str, now: datetime) -> None:
    """Raise the error that an answer is, if it is one."""
    if not is_success(answer.status):
        raise _error(answer, about, now)


def _error(answer: Answer, about: str, now: datetime) -> ErpError:
    status = answer.status
    if status == HTTPStatus.UNAUTHORIZED:
        return ErpUnauthorized(
            f"{about}: 401 for a token that was just made; has the tenant approved the client and its scope?"
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        seconds = retry_after(answer.headers.get("Retry-After"), now)
        return ErpBusy(f"{about}: 429, the quota is used up for {seconds:g} seconds", seconds)
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return ErpUnavailable(f"{about}: the proxy answered 407; correct the user in the setting proxy")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _PASSING:
        return ErpUnavailable(f"{about}: the ERP answered {status}")
    if is_redirect(status):
        return ErpRefused(f"{about}: answered with a redirect ({status}), which is not followed", status)
    kind = ErpConflict if status == HTTPStatus.PRECONDITION_FAILED else ErpRefused
    return kind(f"{about}: the ERP refused it with {status}{_ADVICE.get(status, '')}", status, said_by(answer))


_ADVICE: Mapping[int, str] = {
    HTTPStatus.FORBIDDEN: "; see which rights the scope gives the client",
    HTTPStatus.PRECONDITION_FAILED: ": the record has changed; fetch it again",
}


def said_by(answer: Answer) -> object:
    """Return the content, parsed where it can be: what was done is not undone by an answer that cannot be read."""
    try:
        return answer.parsed()
    except ErpUnreadable:
        return answer.content


def retry_after(value: str | None, now: datetime) -> float:
    """Return the seconds that a Retry-After asks for, as a number or a date; one minute where it cannot be read."""
    seconds = named_wait(value or "", now.timestamp())
    return _UNSAID if seconds is None else min(seconds, _LONGEST)
