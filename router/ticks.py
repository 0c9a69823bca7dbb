"""Time as .NET counts it: ticks of 100 ns since the start of the year 1, here taken as UTC."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

__all__ = ["from_ticks", "read_time", "to_ticks"]

_START: Final = datetime(1, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MAX_DIGITS: Final = 40  # ticks have 18; past any doubt a number of more digits is something else
_LIMIT: Final = 10**_MAX_DIGITS
_NUMBER: Final = re.compile(rf"-?[0-9]{{1,{_MAX_DIGITS}}}", re.ASCII)


def from_ticks(ticks: int) -> datetime | None:
    """Return the moment in UTC, to the microsecond below; None outside of the years 1 to 9999."""
    try:
        return _START + timedelta(0, 0, ticks // 10)
    except OverflowError:
        return None


def to_ticks(moment: datetime) -> int:
    """Return the ticks of an aware moment, exactly."""
    return (moment - _START) // _MICROSECOND * 10


def read_time(value: Any) -> tuple[datetime | None, int | None] | None:
    """Read a time stamp: ticks, as an integer or its digits, or ISO 8601 (without a zone: UTC), up to the microsecond.

    Returns the moment and the ticks, which are kept where they are out of range and None for ISO 8601. Returns None
    for what is no time stamp at all. Integers only: one that went through a double has lost its last digits.
    """
    if type(value) is str:
        value = value.strip()
        if not _NUMBER.fullmatch(value):
            moment = _read_iso(value)
            return (moment, None) if moment else None
        value = int(value)
    if type(value) is int and -_LIMIT < value < _LIMIT:
        return from_ticks(value), value
    return None


def _read_iso(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
