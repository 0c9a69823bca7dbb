"""What is in the quarantine: a signed body that is no event, and which of them a selector means."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from config.publisher_types import fold
from router.store.reading import Span
from router.store.record import HINTS, ID, RAW, REASON, Fields, received_at, text_of
from workers.operations.criteria import Criteria, Ids, within

_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A signed body, or an item of one, that is no event."""

    entry_id: str
    publisher: str
    id: str
    received_at: datetime
    reason: str
    raw: bytes
    hints: bytes = b""
    """A JSON object of unsigned headers, as it is stored; empty for none."""


def read_quarantined(publisher: str, entry_id: bytes, fields: Fields) -> Quarantined:
    """Return what an entry of a quarantine is."""
    found, reason = text_of(fields, ID), text_of(fields, REASON)
    raw, hints = fields.get(RAW, b""), fields.get(HINTS, b"")
    return Quarantined(entry_id.decode(), publisher, found, received_at(fields), reason, raw, hints)


def _companies(raw: bytes, names: Collection[str]) -> set[str]:
    """Return the companies that a body names: itself, or each of its items."""
    try:
        body = msgspec.json.decode(raw.removeprefix(_BOM))
    except (ValueError, RecursionError):
        return set()
    items = [item for item in (body if isinstance(body, list) else [body]) if isinstance(item, dict)]
    return {
        str(value)
        for item in items
        for name, value in item.items()
        if isinstance(value, str | int) and fold(name) in names
    }


@dataclass(frozen=True, slots=True)
class QuarantineSelector(Criteria):
    """What a quarantined body must be like, in every respect that is given.

    publishers: by their slugs. text: part of the reason, in either case. company: its id in the ERP, as far as the body
    can be read. ids: of bodies or of entries. since, until: when it was received, both included.
    """

    publishers: frozenset[str] = frozenset()
    text: str | None = None
    ids: Ids = field(default_factory=Ids)
    since: datetime | None = None
    until: datetime | None = None
    company: str | None = None

    def of(self, known: Collection[str]) -> list[str]:
        """Return those of the known publishers that it wants."""
        return [slug for slug in known if not self.publishers or slug in self.publishers]

    def matches(self, found: Quarantined, company_names: Collection[str] = ()) -> bool:
        """Return whether a body is wanted; `company_names` are those of the field of the company, folded."""
        return (
            self.ids.want(found.entry_id, found.id)
            and within(found.received_at, self.since, self.until)
            and (self.text is None or self.text.lower() in found.reason.lower())
            and (self.company is None or self.company in _companies(found.raw, company_names))
        )

    def span(self) -> Span:
        """Return the entries that can match at all: one is written when its body was received, or later."""
        return self.ids.span() or Span.between(self.since, None)
