"""Bodies and events as they may be shown: their structure, and of their values only those that say which event it is.

A body is a business document: customers, amounts, whatever the sender adds tomorrow. So what may be shown is listed,
and all else is masked, the unknown included. Values are shown only in an item itself, not deeper: there a name means
something else.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any, Final

import msgspec

from config.publisher_types import fold
from config.publishers import Dialect

MASK: Final = "***"

_SHOWN_FIELDS: Final = (
    "event",
    "notification_id",
    "action",
    "resource_id",
    "entity_id",
    "entity",
    "relative_path",
    "company_id",
    "tenant_id",
    "timestamp",
    "document_status",
    "erp_event",
    "scheduled",
    "origin",
)
_SHOWN: Final = frozenset(name for field in _SHOWN_FIELDS for name in getattr(Dialect(), field))
_MASKED_FIELDS: Final = frozenset(Dialect.model_fields).difference(_SHOWN_FIELDS)
_DISPATCHER: Final = "x-vwd-"
_DEPTH: Final = 8  # objects and lists within each other
_ITEMS: Final = 50  # of one object or list
_TEXT: Final = 200  # characters of a name or a value
_LENGTH: Final = 4000  # characters of it all
_BOM: Final = b"\xef\xbb\xbf"
_CUT: Final = "…"
_UNREADABLE: Final = "not readable as JSON"

_decode = msgspec.json.Decoder().decode
_encode = json.JSONEncoder(ensure_ascii=False).encode


def redacted(raw: bytes) -> str:
    """Return a body as JSON of one line in which every value but those of an event's identity is `***`.

    What cannot be read as JSON is shown by its length and its digest alone. Long, wide and deep bodies are cut, marked
    by `…`; the text is printable and at most 4,001 characters long. Never raises, whatever the bytes.
    """
    try:
        value = _decode(raw.removeprefix(_BOM))
    except (ValueError, RecursionError):
        return f"{_UNREADABLE}: {len(raw)} bytes, sha256 {sha256(raw).hexdigest()}"
    text = "".join(_body(value))
    return text if len(text) <= _LENGTH else text[:_LENGTH] + _CUT


def hides(shown: str) -> bool:
    """Return whether a body or a hint as it may be shown leaves out something of what it is."""
    return shown == MASK or _quoted(MASK) in shown or _CUT in shown or shown.startswith(_UNREADABLE)


def redacted_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of an event by their names, as they may be shown: `***` for what is masked in a body, too."""
    return {name: MASK if name in _MASKED_FIELDS and value is not None else value for name, value in fields.items()}


def redacted_hints(hints: Mapping[str, str]) -> dict[str, str]:
    """Return hints as they may be shown: the values of the dispatcher's own ids, and `***` for what callers chose."""
    return {name: value if name.startswith(_DISPATCHER) else MASK for name, value in hints.items()}


def _body(value: Any) -> Iterator[str]:
    """Write a body: an item, or a list of items."""
    if isinstance(value, list):
        yield from _nested("[]", (_value(item, _DEPTH - 1, shown=True) for item in value), _DEPTH)
    else:
        yield from _value(value, _DEPTH, shown=True)


def _value(value: Any, depth: int, *, shown: bool = False) -> Iterator[str]:
    if isinstance(value, dict):
        fields = (_field(name, child, depth - 1, shown=shown) for name, child in value.items())
        yield from _nested("{}", fields, depth)
    elif isinstance(value, list):
        yield from _nested("[]", (_value(child, depth - 1) for child in value), depth)
    else:
        yield "null" if value is None else _quoted(MASK)


def _field(name: str, value: Any, depth: int, *, shown: bool) -> Iterator[str]:
    yield f"{_quoted(name)}: "
    if shown and fold(name) in _SHOWN and isinstance(value, str | int | float):
        yield _quoted(value) if isinstance(value, str) else msgspec.json.encode(value).decode()
    else:
        yield from _value(value, depth)


def _nested(brackets: str, parts: Iterable[Iterator[str]], depth: int) -> Iterator[str]:
    """Write the parts of an object or a list, cut where they are too many or too deep."""
    yield brackets[0]
    for number, part in enumerate(parts):
        if number:
            yield ", "
        if not depth or number == _ITEMS:
            yield _CUT
            break
        yield from part
    yield brackets[1]


def _quoted(text: str) -> str:
    r"""Write a text as JSON, cut, and all that does not print escaped, as a terminal must not be commanded."""
    cut = text if len(text) <= _TEXT else text[:_TEXT] + _CUT
    written = _encode(cut).replace("\x7f", r"\u007f")  # the one that json takes for printable
    return written if written.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in written)
