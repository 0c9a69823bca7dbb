"""An archived event as one line of JSON, from which the entry comes back byte for byte.

    {"entry": "1764460800000-0", "stream": "visma-net-financial/customer_changed", "id": "…", "at": 1764460799990,
     "event": {…}, "raw": "…", "hints": {…}, "trace": "…", "generation": "…"}

The fields are those of the stream (docs/streams.md); `raw` is the item's text, or else `raw_base64`. An entry with
fields that we do not write was edited manually: its line has `entry`, `stream` and `fields`, all of them in base64.
"""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from router.store.reading import is_entry_id
from router.store.record import AT, EVENT, GENERATION, HINTS, ID, RAW, TRACE

__all__ = ["Archived", "read_line", "write_line"]

_KNOWN: Final = frozenset({ID, AT, EVENT, RAW, HINTS, TRACE, GENERATION})
_MOST_DIGITS: Final = 15
_NONE: Final = msgspec.Raw()


@dataclass(frozen=True, slots=True)
class Archived:
    """An entry of a stream, as it was there."""

    stream: str
    entry_id: str
    fields: Mapping[bytes, bytes]


class _Line(msgspec.Struct, omit_defaults=True):
    entry: str
    stream: str
    id: str = ""
    at: int | None = None
    event: msgspec.Raw = _NONE
    raw: str | None = None
    raw_base64: str | None = None
    hints: msgspec.Raw = _NONE
    trace: str | None = None
    generation: str | None = None
    fields: dict[str, str] | None = None


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(_Line).decode
_decode_any: Final = msgspec.json.Decoder().decode


def write_line(entry: Archived) -> bytes:
    """Return the line of an entry, without its end."""
    line = _plain(entry)
    return line if line is not None and b"\n" not in line and _comes_back(line, entry) else _exact(entry)


def read_line(line: bytes) -> Archived:
    """Return the entry of a line; raises ValueError for what is none."""
    found = _decode(line)
    if not is_entry_id(found.entry):
        raise ValueError(f"{found.entry!r} is no entry")
    if found.fields is not None:
        return Archived(found.stream, found.entry, {_bytes(n): _bytes(v) for n, v in found.fields.items()})
    if found.raw is None and found.raw_base64 is None:
        raise ValueError("it has no raw")
    raw = found.raw.encode() if found.raw is not None else _bytes(found.raw_base64 or "")
    fields = {ID: found.id.encode(), RAW: raw}
    if found.at is not None:
        fields[AT] = b"%d" % found.at
    for name, document in ((EVENT, found.event), (HINTS, found.hints)):
        if bytes(document):
            fields[name] = bytes(document)
    for name, text in ((TRACE, found.trace), (GENERATION, found.generation)):
        if text is not None:
            fields[name] = text.encode()
    return Archived(found.stream, found.entry, fields)


def _plain(entry: Archived) -> bytes | None:
    """Return the usual line; None for an entry that cannot have it."""
    fields = entry.fields
    if not _KNOWN.issuperset(fields) or ID not in fields or RAW not in fields:
        return None
    at = fields.get(AT)
    if at is not None and not (at.isdigit() and len(at) <= _MOST_DIGITS):
        return None
    try:
        for name in (EVENT, HINTS):
            if name in fields:
                _decode_any(fields[name])
        line = _Line(
            entry=entry.entry_id,
            stream=entry.stream,
            id=fields[ID].decode(),
            at=None if at is None else int(at),
            event=msgspec.Raw(fields[EVENT]) if EVENT in fields else _NONE,
            hints=msgspec.Raw(fields[HINTS]) if HINTS in fields else _NONE,
            trace=fields[TRACE].decode() if TRACE in fields else None,
            generation=fields[GENERATION].decode() if GENERATION in fields else None,
        )
        _put_raw(line, fields[RAW])
        return _encode(line)
    except (ValueError, RecursionError):
        return None


def _put_raw(line: _Line, raw: bytes) -> None:
    try:
        line.raw = raw.decode()
    except UnicodeDecodeError:
        line.raw_base64 = b64encode(raw).decode()


def _comes_back(line: bytes, entry: Archived) -> bool:
    try:
        return read_line(line) == entry
    except (ValueError, RecursionError):
        return False


def _exact(entry: Archived) -> bytes:
    fields = {b64encode(name).decode(): b64encode(value).decode() for name, value in entry.fields.items()}
    return _encode(_Line(entry=entry.entry_id, stream=entry.stream, fields=fields))


def _bytes(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
