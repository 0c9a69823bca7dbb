"""Reading a stream in pages, so that the memory it takes does not grow with the stream."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from config.errors import told
from router.spoilt import forgiven
from router.store import Store, StoreUnavailable

__all__ = ["PAGE", "Entry", "Span", "checked", "forward", "moment_of", "order_of"]

PAGE = 500
"""Most entries of one stream to take in one read."""

_LAST_MS = 253_402_300_799_000  # the last second a datetime can hold; an id made by hand may be beyond it

Entry = tuple[bytes, dict[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Span:
    """The first and the last entry to read, both included, as XRANGE spells them."""

    first: str = "-"
    last: str = "+"

    @classmethod
    def between(cls, since: datetime | None, until: datetime | None) -> "Span":
        """Return the entries that were written from `since` to `until`, aware times to the millisecond."""
        return cls(_millis(since) if since else "-", _millis(until) if until else "+")


def _millis(moment: datetime) -> str:
    return str(max(0, int(moment.timestamp() * 1000)))


def order_of(entry_id: bytes | str) -> tuple[int, int]:
    """Return what entries sort by: the milliseconds and the number within them."""
    text = entry_id.decode() if isinstance(entry_id, bytes) else entry_id
    millis, _, number = text.partition("-")
    return int(millis), int(number or 0)


def moment_of(entry_id: bytes | str) -> datetime:
    """Return when an entry was written."""
    return datetime.fromtimestamp(min(order_of(entry_id)[0], _LAST_MS) / 1000, UTC)


def checked(replies: Sequence[Any]) -> list[Any]:
    """Return the replies of a round trip; raises StoreUnavailable with the first error among them."""
    for reply in replies:
        if isinstance(reply, BaseException):
            raise StoreUnavailable(told(reply)) from reply
    return list(replies)


async def forward(store: Store, key: str, span: Span, page: int = PAGE) -> AsyncIterator[Entry]:
    """Yield the entries of one stream, oldest first."""
    first = span.first
    while True:
        replies = await store.commands([("XRANGE", key, first, span.last, "COUNT", page)])
        entries: list[Entry] = checked(forgiven(replies, [key], []))[0]
        for entry in entries:
            yield entry
        if len(entries) < page:
            return
        first = f"({entries[-1][0].decode()}"
