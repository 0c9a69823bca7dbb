"""Times as settings write them: 90s, 10m, 1h, 1d, or a number of seconds; and time zones."""

import re
from datetime import timedelta
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field
from pydantic.functional_validators import AfterValidator

__all__ = ["LONGEST", "Span", "SpanOrOff", "Zone", "span"]

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SPAN: Final = re.compile(r"(\d{1,6})([smhd])")
LONGEST: Final = 366 * 86_400
"""Seconds."""


def span(value: object) -> object:
    """Return the seconds of a time such as 90s, 10m, 1h or 1d; anything else as it is."""
    if isinstance(value, str) and (found := _SPAN.fullmatch(value.strip().lower())):
        return timedelta(**{_UNITS[found[2]]: int(found[1])}).total_seconds()
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):
        raise ValueError("must be a time zone, such as UTC or Europe/Oslo") from None
    return value


Span = Annotated[float, BeforeValidator(span), Field(gt=0, le=LONGEST, allow_inf_nan=False)]
SpanOrOff = Annotated[float, BeforeValidator(span), Field(ge=0, le=LONGEST, allow_inf_nan=False)]
Zone = Annotated[str, AfterValidator(_zone)]
