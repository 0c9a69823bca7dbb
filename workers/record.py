"""A record of the ERP, as it was when it was fetched."""

from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any

__all__ = ["Background", "Record"]

_GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


@dataclass(frozen=True, slots=True)
class Background:
    """A request that the ERP works on in the background; `reference` is what the caller named it.

    status: `Started`, `Finished` or `Failed`, as the ERP spells it. error_message says why it failed; it is not shown
    where this is logged, since it may repeat what was sent.
    """

    id: str
    status: str = "Started"
    reference: str | None = None
    error_message: str | None = field(default=None, repr=False)

    @property
    def failed(self) -> bool:
        """Whether the ERP could not do it."""
        return self.status.casefold() == "failed"


@dataclass(frozen=True, slots=True)
class Record:
    """What the ERP answered: the record, or that there is none.

    status: that of HTTP; of a background answer, that of the request it answers. etag: the record's version, for
    `if_match`. body: the parsed JSON, bytes of anything else, None where there is nothing; not shown where a record is
    logged. fetched_at: aware and in UTC, just before it was asked for.
    """

    status: int
    etag: str | None = None
    body: Any = field(default=None, repr=False)
    fetched_at: datetime = field(kw_only=True)
    background: Background | None = field(default=None, kw_only=True)

    @property
    def gone(self) -> bool:
        """Whether the ERP has no such record: how a deletion without an event shows itself."""
        return self.status in _GONE
