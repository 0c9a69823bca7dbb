"""What was found as a line of JSON: where it stands, and its fields as they are, base64 where they are no text."""

from collections.abc import Mapping
from typing import Any

import msgspec

from workers.operations.dead_letters.lines import name_form, value_form
from workers.operations.erasing.found import Found

__all__ = ["handed_out"]


class _Line(msgspec.Struct, omit_defaults=True):
    place: str
    where: str
    id: str
    fields: Mapping[str, Any]
    tenant: str = ""
    company: str = ""


_encode = msgspec.json.Encoder().encode


def handed_out(found: Found) -> bytes:
    """Return something that was found as a line, with its end."""
    fields = {_name(name): _value(value) for name, value in found.content.items()}
    return _encode(_Line(found.place.name, found.where, found.id, fields, *found.whose)) + b"\n"


def _name(name: str | bytes) -> str:
    return name_form(name if isinstance(name, bytes) else name.encode(errors="backslashreplace"))


def _value(value: Any) -> Any:
    return value_form(value) if isinstance(value, bytes) else value
