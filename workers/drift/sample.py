"""What is learnt from: an entry of a stream, of whom it is, and the fields that it has."""

from dataclasses import dataclass

import msgspec

from router.store.reading import Entry, order_of
from router.store.record import EVENT, ID, RAW, text_of
from workers.drift.shape import Shape, shape_of

__all__ = ["Sample"]


class _Whose(msgspec.Struct):
    company_id: str | None = None
    tenant_id: str | None = None


_whose = msgspec.json.Decoder(_Whose).decode


@dataclass(frozen=True, slots=True)
class Sample:
    """What is taken from an entry; `shape` is None, and `raw` empty, where nothing is learnt from it."""

    entry_id: str
    id: str
    company: str
    shape: Shape | None
    raw: bytes

    @classmethod
    def of(cls, entry: Entry) -> "Sample":
        """Return the sample of an entry."""
        entry_id, fields = entry
        raw = fields.get(RAW, b"")
        shape = shape_of(raw)
        company = _company(fields.get(EVENT, b""))
        return cls(entry_id.decode(), text_of(fields, ID), company, shape, b"" if shape is None else raw)

    @property
    def at(self) -> int:
        """When it was stored, epoch milliseconds."""
        return order_of(self.entry_id)[0]


def _company(event: bytes) -> str:
    """Return whose event it is; empty where that is not known."""
    try:
        found = _whose(event)
    except (msgspec.MsgspecError, RecursionError):
        return ""
    return f"{found.tenant_id or ''}/{found.company_id or ''}"
