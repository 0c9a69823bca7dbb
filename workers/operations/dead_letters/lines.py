"""A dead letter as a line of JSON: what `dlq export` writes and `dlq import` reads, to the byte.

Names and values of the entry's fields are text where they are UTF-8, and base64 where they are not, so that every tool
that reads JSON may sort, cut or filter the lines in between.
"""

import base64
import binascii
from typing import Final, Literal

import msgspec

from router.store.reading import is_entry_id
from router.store.record import ID, ORIGIN
from workers.operations.dead_letters.entry import DeadLetterEntry

MOST_FIELDS: Final = 1000
"""Fields of an entry: a script cannot unpack the thousands that one of a stranger may have."""

_BINARY = "base64:"
_TOLD = 200  # characters of what is wrong, which quotes the line


class BadLine(ValueError):
    """A line that is no exported dead letter; the message says why."""


class _Bytes(msgspec.Struct, forbid_unknown_fields=True):
    base64: str


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    stream: str
    subscription: str
    entry_id: str
    fields: dict[str, str | _Bytes]
    version: Literal[1] = 1


class ExportedLetter(msgspec.Struct, frozen=True):
    """A dead letter outside the store; `entry_id` is that of the entry in which it died."""

    stream: str
    subscription: str
    entry_id: str
    fields: dict[bytes, bytes]

    @property
    def event_id(self) -> bytes:
        """The event's id as the entry has it; empty where somebody wrote one without."""
        return self.fields.get(ID, b"")

    @property
    def size(self) -> int:
        """About how many bytes it takes to send."""
        return sum(len(name) + len(value) + 16 for name, value in self.fields.items())


_decode = msgspec.json.Decoder(_Line).decode
_encode = msgspec.json.Encoder().encode


def line_of(letter: DeadLetterEntry) -> bytes:
    """Return a dead letter as a line, with its end; an imported one as the line it came from."""
    fields = {name_form(name): value_form(value) for name, value in letter.fields.items() if name != ORIGIN}
    return _encode(_Line(letter.stream, letter.subscription, letter.origin, fields)) + b"\n"


def read_line(line: bytes) -> ExportedLetter:
    """Read a line; raises BadLine."""
    try:
        read = _decode(line)
        fields = {_name_bytes(name): _value_bytes(value) for name, value in read.fields.items()}
    except binascii.Error as error:
        raise BadLine(f"base64: {error}") from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadLine(str(error).partition(" (byte")[0][:_TOLD] or type(error).__name__) from None
    if len(fields) != len(read.fields):
        raise BadLine("fields: two have the same name, one as text and one as base64")
    if not is_entry_id(read.entry_id):
        raise BadLine(f"entry_id: {read.entry_id[:50]!r} is none, such as 1761836757000-0")
    if not 0 < len(fields) <= MOST_FIELDS or ORIGIN in fields:
        raise BadLine(f"fields: a dead letter has 1 to {MOST_FIELDS}, and none called {ORIGIN.decode()}")
    return ExportedLetter(read.stream, read.subscription, read.entry_id, fields)


def value_form(value: bytes) -> str | _Bytes:
    """Return the form of a value: text where it is UTF-8, else base64."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return _Bytes(base64.b64encode(value).decode())


def _value_bytes(value: str | _Bytes) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value.base64, validate=True)


def name_form(name: bytes) -> str:
    """Return the name of a field; one that looks like base64 goes as such, too, so that no two are confused."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        text = _BINARY
    return _BINARY + base64.b64encode(name).decode() if text.startswith(_BINARY) else text


def _name_bytes(name: str) -> bytes:
    encoded = name.removeprefix(_BINARY)
    return name.encode() if encoded == name else base64.b64decode(encoded, validate=True)
