"""Times as senders write them: .NET ticks (100 ns since the start of the year 1), counts since 1970, or ISO 8601.

A number says by its size what it counts: a moment of our days is about 6.4e17 ticks, 1.8e15 microseconds, 1.8e12
milliseconds or 1.8e9 seconds. What has no zone is taken as UTC.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

_START: Final = datetime(1, 1, 1, tzinfo=UTC)
_1970: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NUMBER: Final = re.compile(r"[0-9]{1,19}", re.ASCII)  # as many digits as 64 bits have
_LEAST_TICKS: Final = 10**17  # of the year 317; what is smaller counts from 1970
_EPOCHS: Final = (  # from which number on, and how many of them a second has
    (10**14, 1_000_000),
    (10**11, 1_000),
    (10**8, 1),  # of the year 1973; what is smaller is no time
)


def from_ticks(ticks: int) -> datetime | None:
    """Return the moment in UTC, to the microsecond below; None outside of the years 1 to 9999."""
    try:
        return _START + _MICROSECOND * (ticks // 10)
    except OverflowError:
        return None


def to_ticks(moment: datetime) -> int:
    """Return the ticks of an aware moment, exactly."""
    return (moment - _START) // _MICROSECOND * 10


def read_time(value: Any) -> tuple[datetime, int | None] | None:
    """Read a time stamp: a whole number or its digits, or ISO 8601; the moment is in UTC, up to the microsecond.

    Returns the moment and, where the number counts ticks, that number. Returns None for what is no time, such as 0, a
    negative number and the year 1, which .NET writes where there is none. Whole numbers only: ticks that went through a
    double have lost their last digits.
    """
    if type(value) is str:
        value = value.strip()
        if not _NUMBER.fullmatch(value):
            moment = _read_iso(value)
            return (moment, None) if moment else None
        value = int(value)
    if type(value) is not int:
        return None
    if value >= _LEAST_TICKS:
        moment = from_ticks(value)
        return (moment, value) if moment else None
    moment = _read_epoch(value)
    return (moment, None) if moment else None


def _read_epoch(value: int) -> datetime | None:
    for least, second in _EPOCHS:
        if value >= least:
            return _1970 + timedelta(seconds=value // second, microseconds=value % second * (1_000_000 // second))
    return None


def _read_iso(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.upper())
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment.year > 1 else None
