"""The public holidays of the Nordic countries, on which offices send as little as on a Sunday."""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

__all__ = ["is_holiday"]

_MOVABLE: Final[Mapping[str, tuple[int, ...]]] = {
    "NO": (-3, -2, 0, 1, 39, 49, 50),
    "SE": (-2, 0, 1, 39, 49),
    "DK": (-3, -2, 0, 1, 39, 49, 50),
    "FI": (-2, 0, 1, 39, 49),
}
"""Days after Easter Sunday: Maundy Thursday is -3, Ascension Day 39, Whit Monday 50."""
_FIXED: Final[Mapping[str, tuple[str, ...]]] = {
    "NO": ("01-01", "05-01", "05-17", "12-24", "12-25", "12-26", "12-31"),
    "SE": ("01-01", "01-06", "05-01", "06-06", "12-24", "12-25", "12-26", "12-31"),
    "DK": ("01-01", "06-05", "12-24", "12-25", "12-26", "12-31"),
    "FI": ("01-01", "01-06", "05-01", "12-06", "12-24", "12-25", "12-26", "12-31"),
}
"""Christmas Eve and New Year's Eve among them: offices are closed."""
_MIDSUMMER: Final = frozenset({"SE", "FI"})
_FRIDAY: Final = 4


def is_holiday(day: date, calendars: Iterable[str]) -> bool:
    """Return whether a day is a holiday of one of these countries, or one of these days (`2026-05-15`, `12-24`)."""
    return any(_is_in(day, calendar) for calendar in calendars)


def _is_in(day: date, calendar: str) -> bool:
    if calendar not in _FIXED:
        return calendar in (day.isoformat(), f"{day:%m-%d}")
    if f"{day:%m-%d}" in _FIXED[calendar] or (day - _easter(day.year)).days in _MOVABLE[calendar]:
        return True
    return calendar in _MIDSUMMER and day == _midsummer_eve(day.year)


def _midsummer_eve(year: int) -> date:
    """Return the Friday from 19 to 25 June."""
    first = date(year, 6, 19)
    return first + timedelta(days=(_FRIDAY - first.weekday()) % 7)


@lru_cache(maxsize=64)
def _easter(year: int) -> date:
    """Return Easter Sunday of the Gregorian calendar, by the rule of Gauss with its two exceptions."""
    century = year // 100
    moon = (15 - (13 + 8 * century) // 25 + century - century // 4) % 30
    shift = (4 + century - century // 4) % 7
    full = (19 * (year % 19) + moon) % 30
    sunday = (2 * (year % 4) + 4 * (year % 7) + 6 * full + shift) % 7
    if full == 29 and sunday == 6:  # noqa: PLR2004 - the exceptions of the rule
        return date(year, 4, 19)
    if full == 28 and sunday == 6 and (11 * moon + 11) % 30 < 19:  # noqa: PLR2004 - likewise
        return date(year, 4, 18)
    return date(year, 3, 22) + timedelta(days=full + sunday)
