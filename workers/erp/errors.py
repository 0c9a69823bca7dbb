"""What can go wrong between a worker and the ERP. No message repeats a body or a token."""

from typing import Any, Self

from config.errors import RouterError
from workers.outcomes import BreakerOpen, DeadLetter, Defer, RetryLater

__all__ = [
    "BackgroundExpired",
    "BackgroundPending",
    "ErpBusy",
    "ErpConflict",
    "ErpDown",
    "ErpError",
    "ErpNotSet",
    "ErpRefused",
    "ErpUnauthorized",
    "ErpUnavailable",
    "ErpUnreadable",
    "NoRecord",
    "NoTenant",
    "UnsafePath",
]


class ErpError(RouterError):
    """A request to the ERP did not succeed; raised in a handler, the event is tried again as `retry` says."""

    def again(self) -> Self:
        """Return the same error, for another who waited for the same: each gets a traceback of its own."""
        made = type(self).__new__(type(self))
        made.args = self.args
        made.__dict__.update(self.__dict__)
        return made


class ErpNotSet(ErpError):
    """The settings name no ERP for the publisher, or there is no worker here whose settings could."""


class ErpUnavailable(ErpError):
    """The ERP did not answer in time, could not be reached, or answered with a 5xx status."""


class ErpDown(ErpUnavailable, BreakerOpen):
    """The ERP, or what gives its tokens, is down: nobody asks until a probe has succeeded.

    Raised in a handler, the event is deferred until then, which is no attempt.
    """

    def __init__(self, message: str, seconds: float) -> None:
        BreakerOpen.__init__(self, seconds, message)


class ErpUnauthorized(ErpError):
    """No token was given for the tenant, or the ERP refused one that was just made."""


class ErpUnreadable(ErpError):
    """The answer is larger than allowed, or is no JSON although it says so."""


class ErpRefused(ErpError):
    """The ERP refused the request: `status` is that of HTTP, `body` what the answer says, parsed where it is JSON."""

    def __init__(self, message: str, status: int, body: Any = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = body


class ErpConflict(ErpRefused):
    """The record has been changed since its `if_match` was fetched: fetch it again."""


class ErpBusy(ErpError, Defer):
    """The quota of the company is used up; `retry_after` is in how many seconds the ERP takes requests again.

    Raised in a handler, the event is deferred until then, which is no attempt.
    """

    def __init__(self, message: str, retry_after: float) -> None:
        Defer.__init__(self, retry_after, message)
        self.retry_after = retry_after


class BackgroundPending(ErpError, RetryLater):
    """The ERP has not finished its background answer yet."""

    def __init__(self, message: str, delay: float) -> None:
        RetryLater.__init__(self, delay, message)


class BackgroundExpired(ErpError, DeadLetter):
    """The ERP no longer has a background answer: it keeps each for 24 hours."""


class NoRecord(ErpError, DeadLetter):
    """The event names no record that could be fetched."""


class NoTenant(ErpError, DeadLetter):
    """The event names no tenant, and neither do the settings."""


class UnsafePath(ErpError, DeadLetter):
    """A path could mean something else than a record below the configured base: nothing was asked."""
