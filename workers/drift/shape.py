"""The shape of a notification: the fields that it has a value for, and of which types."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from router.events.redact import MASK

__all__ = ["MOST", "NULL", "Shape", "masked", "shape_of"]

MOST: Final = 300
"""Fields of one notification that are looked at."""
_LARGEST: Final = 65_536
"""Bytes of a notification that is looked at: a larger one takes too long to read."""
_SAMPLE: Final = 600
"""Characters of a sample."""
_DEPTH: Final = 6
_ITEMS: Final = 20
"""Items of a list that are looked at."""
_NAME: Final = 100
_TYPES: Final = {str: "text", bool: "boolean", int: "number", float: "number", dict: "object", list: "list"}
_OURS: Final = "reconcile"

_decode = msgspec.json.Decoder().decode

Shape = Mapping[str, str]
"""Types by the path of their field: `lines[].sku`. A field that is null has no value: its type is NULL."""
NULL: Final = "null"


def shape_of(raw: bytes) -> Shape | None:
    """Return the shape of an item; None for what is not learnt from: too large, no object, or made by a sweep of ours.

    Where items of a list differ in the type of a field, the first one with a value counts.
    """
    if len(raw) > _LARGEST:
        return None
    try:
        value = _decode(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.get("origin") == _OURS:
        return None
    found: dict[str, str] = {}
    for path, type_ in _fields(value):
        if found.get(path, NULL) == NULL:
            found[path] = type_
        if len(found) == MOST:
            break
    return found


def masked(raw: bytes) -> str:
    """Return an item that has a shape as JSON of a bounded length, with `***` for every value, its identity too."""
    text = json.dumps(_masked(_decode(raw), _DEPTH), ensure_ascii=False)
    return text if len(text) <= _SAMPLE else f"{text[:_SAMPLE]}…"


def _masked(value: Any, depth: int) -> Any:
    if depth and isinstance(value, dict):
        return {_printable(name): _masked(inner, depth - 1) for name, inner in [*value.items()][:MOST]}
    if depth and isinstance(value, list):
        return [_masked(inner, depth - 1) for inner in value[:1]]
    return None if value is None else MASK


def _fields(value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield paths and types, those that are deeper later: names made up within one field must not hide the others."""
    level = [("", value)]
    for _ in range(_DEPTH):
        within: list[tuple[str, dict[str, Any]]] = []
        for below, fields in level:
            for name, inner in fields.items():
                path = below + _printable(name)
                yield path, NULL if inner is None else _TYPES.get(type(inner), "number")
                if isinstance(inner, dict):
                    within.append((f"{path}.", inner))
                elif isinstance(inner, list):
                    within += [(f"{path}[].", item) for item in inner[:_ITEMS] if isinstance(item, dict)]
        level = within


def _printable(name: str) -> str:
    """Return the name of a field as it may be kept and shown: of a bounded length, without signs that command."""
    cut = name if len(name) <= _NAME else f"{name[:_NAME]}…"
    safe = cut.encode(errors="replace").decode()
    return safe if safe.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in safe)
