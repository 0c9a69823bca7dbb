"""The public holidays of the Nordic countries, and days that an operator names."""

from datetime import date

import pytest

from workers.silence.holidays import _easter, is_holiday


@pytest.mark.parametrize(
    "sunday",
    [
        date(1954, 4, 18),
        date(1981, 4, 19),
        date(2024, 3, 31),
        date(2025, 4, 20),
        date(2026, 4, 5),
        date(2027, 3, 28),
        date(2038, 4, 25),
        date(2049, 4, 18),
    ],
)
def test_easter(sunday: date) -> None:
    """Easter is when the calendars say, in the years of the exceptions, too."""
    assert _easter(sunday.year) == sunday


def test_norway() -> None:
    """Norway has these holidays on working days of 2026, the two eves among them."""
    days = [date.fromordinal(number) for number in range(date(2026, 1, 1).toordinal(), date(2027, 1, 1).toordinal())]
    free = [f"{day:%m-%d}" for day in days if day.weekday() < 5 and is_holiday(day, ["NO"])]
    assert free == ["01-01", "04-02", "04-03", "04-06", "05-01", "05-14", "05-25", "12-24", "12-25", "12-31"]


@pytest.mark.parametrize(("country", "day"), [("SE", (2026, 6, 19)), ("FI", (2027, 6, 25)), ("DK", (2026, 6, 5))])
def test_others(country: str, day: tuple[int, int, int]) -> None:
    """Others have days of their own."""
    assert is_holiday(date(*day), [country])
    assert not is_holiday(date(*day), ["NO"])


def test_days_that_are_named() -> None:
    """A day is named for one year or for each."""
    assert is_holiday(date(2026, 5, 15), ["2026-05-15"])
    assert not is_holiday(date(2027, 5, 15), ["2026-05-15"])
    assert is_holiday(date(2027, 7, 1), ["NO", "07-01"])
