"""Times as settings and commands take them, 90s, 10m, 1h, 1d or 1w, in settings also in seconds; and time zones."""

import re
from datetime import timedelta
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field
from pydantic.functional_validators import AfterValidator

__all__ = [
    "LONGEST",
    "Seconds",
    "SecondsOrOff",
    "Span",
    "SpanOrOff",
    "WholeSeconds",
    "WholeSecondsOrOff",
    "Zone",
    "parse_duration",
    "span",
]

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION: Final = re.compile(r"([0-9]{1,6})([smhdw])")
_CENTURY: Final = timedelta(days=36_525)
LONGEST: Final = 366 * 86_400
"""Seconds."""


def parse_duration(text: str) -> timedelta | None:
    """Return the time that `90s`, `15m`, `2h`, `3d` or `1w` lasts; None for another text, and for over a century."""
    if not (found := _DURATION.fullmatch(text.strip().lower())):
        return None
    lasting = timedelta(**{_UNITS[found[2]]: int(found[1])})
    return lasting if lasting <= _CENTURY else None


def span(value: object) -> object:
    """Return the seconds of a time such as 90s, 10m, 1h, 1d or 1w; anything else as it is."""
    lasting = parse_duration(value) if isinstance(value, str) else None
    return value if lasting is None else lasting.total_seconds()


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):
        raise ValueError("must be a time zone, such as UTC or Europe/Oslo") from None
    return value


Seconds = Annotated[float, BeforeValidator(span), Field(gt=0, allow_inf_nan=False)]
SecondsOrOff = Annotated[float, BeforeValidator(span), Field(ge=0, allow_inf_nan=False)]
WholeSeconds = Annotated[int, BeforeValidator(span), Field(gt=0)]
WholeSecondsOrOff = Annotated[int, BeforeValidator(span), Field(ge=0)]
Span = Annotated[float, BeforeValidator(span), Field(gt=0, le=LONGEST, allow_inf_nan=False)]
SpanOrOff = Annotated[float, BeforeValidator(span), Field(ge=0, le=LONGEST, allow_inf_nan=False)]
Zone = Annotated[str, AfterValidator(_zone)]
