"""The words that a sample of a body keeps: those of the catalogue and of the wire, and no others.

A word is kept where it stands for what it is: the name of an event as a whole value, an entity in a path, an action or
a status in a field of that kind. In a text that somebody wrote it is a word like any other, and is replaced.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from config.publisher_types import fold
from config.publishers import Dialect, Publisher


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


_PATH: Final = _words(
    "api controller v1 v2 v3 content background action inventory inventories customers suppliers accounts salesorders",
    "salesorder journaltransaction journaltransactions voucher vouchers customerinvoice supplierinvoice so odata",
)
_STATUSES: Final = _words(
    "hold onhold open closed completed released unreleased balanced cancelled canceled voided printed pending",
    "pendingprint pendingemail shipping backorder credithold approved rejected reserved scheduled confirmed invoiced",
    "partial active inactive success failed error warning",
)
_TERMS: Final = _words(
    "created updated deleted changed removed added released completed cancelled canceled closed opened approved",
    "rejected posted failed ready triggered status action order orders sales purchase invoice invoices credit debit",
    "note memo customer supplier vendor account payment receipt shipment item stock inventory journal transaction",
    "voucher document line project employee contact location warehouse price discount batch batches operation response",
    "event entity background subscription tenant application insert update delete",
)
_KINDS: Final = _words(
    "event eventtype eventname type action operation status documentstatus erpdocumentstatus erpevent entity",
    "entitytype tableidentifier table state kind",
)
_FIELDS: Final = _words("reference statuscode statelocation contentlocation primarykeys changedcolumns")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_. -]+")
_PARTS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^A-Za-z\d]+")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words by where they are kept, folded: whole names of events, words of those, and names of fields."""

    events: frozenset[str]
    words: frozenset[str]
    fields: frozenset[str]

    @classmethod
    def of(cls, publishers: Iterable[Publisher], keep: Iterable[str] = ()) -> "Vocabulary":
        """Return the words of these publishers, and those to `keep` besides."""
        found = list(publishers)
        events = {fold(name) for publisher in found for event in publisher.events for name in event.names}
        rows = [event for publisher in found for event in publisher.events]
        parts = {part for row in rows for name in (row.entity, row.action) for part in (name, *name.split("_"))}
        more = frozenset(fold(word) for word in keep)
        dialects = [publisher.dialect for publisher in found] or [Dialect()]
        fields = {name for dialect in dialects for _, names in dialect for name in names if isinstance(name, str)}
        return cls(frozenset(events) | more, frozenset(map(fold, parts)) | _TERMS | more, frozenset(fields) | _FIELDS)

    def keeps(self, text: str, field: str) -> bool:
        """Return whether a value is a word of ours, in a field of this name, folded."""
        if not _PLAIN.fullmatch(text) or not (folded := fold(text)):
            return False
        return folded in self.events or (field in _KINDS and (folded in self.words or folded in _STATUSES))

    def keeps_segment(self, segment: str) -> bool:
        """Return whether a part of a path is a word of ours."""
        return _PLAIN.fullmatch(segment) is not None and fold(segment) in (self.words | _PATH)

    def keeps_name(self, name: str) -> bool:
        """Return whether a name is that of a field, as the wire has them."""
        return fold(name) in (self.fields | _KINDS)

    def split(self, text: str, field: str) -> list[tuple[str, bool]] | None:
        """Cut a value of a field that names an event into its words, and tell which to keep; None for another field."""
        if field not in _KINDS or not _PLAIN.fullmatch(text):
            return None
        return [(part, fold(part) in self.words) for part in _PARTS.findall(text)]
