"""Texts and selectors with the ids of somebody masked."""

from typing import Any, Final

import msgspec

from workers.operations.erasing.found import Ground

__all__ = ["masked_text", "without_ids"]

_NAMES: Final = frozenset(
    {"company", "companies", "company_id", "tenant", "tenant_id", "key", "resource", "text", "confirmed", "ids"}
)
"""What of a selector may name a company."""


def masked_text(ground: Ground, text: str) -> str:
    """Return a text with the id masked; a short one may be any number there, and stays."""
    return ground.whose.masked(text) if ground.whose.is_in(text) else text


def without_ids(ground: Ground, text: str) -> str:
    """Return a JSON object with the id masked wherever it is; a short one only where a member names a company."""
    try:
        values = msgspec.json.decode(text.encode(errors="surrogateescape"), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return masked_text(ground, text)
    masked = {name: _value(ground, value, known=name in _NAMES) for name, value in values.items()}
    return text if masked == values else msgspec.json.encode(masked).decode()


def _value(ground: Ground, value: Any, *, known: bool) -> Any:
    if isinstance(value, dict):
        pairs = [(_value(ground, name, known=known), _value(ground, each, known=known)) for name, each in value.items()]
        return dict(pairs)
    if isinstance(value, list):
        return [_value(ground, each, known=known) for each in value]
    if isinstance(value, int) and known and not isinstance(value, bool):
        return value if (masked := ground.whose.masked(str(value))) == str(value) else masked
    if isinstance(value, str) and (known or ground.whose.is_in(value)):
        return ground.whose.masked(value)
    return value
