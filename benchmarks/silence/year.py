"""A year of traffic that never was: companies of many habits, their holidays, bursts and days off, hour by hour."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from random import Random
from zoneinfo import ZoneInfo

from router.store.watched.traffic import HOUR, SLOTS, Came, Hour
from workers.silence.holidays import is_holiday

OSLO = ZoneInfo("Europe/Oslo")

Habit = Callable[[datetime, float], float]
"""How many events a company of some rate sends in an hour, on average, by local time."""


@dataclass(frozen=True)
class Company:
    """One sender: its habit, how many events an hour, from when until when, and the days on which it is closed."""

    publisher: str
    name: str
    habit: Habit
    rate: float
    starts: date
    ends: date
    closed: frozenset[date] = field(default_factory=frozenset)

    @property
    def subject(self) -> str:
        """As the watcher names it."""
        return f"{self.publisher}/{self.name}"


@lru_cache(maxsize=2000)
def _is_free(day: date) -> bool:
    return day.weekday() > 4 or is_holiday(day, ["NO"])


@lru_cache(maxsize=2000)
def _month_end(day: date) -> bool:
    """Whether a day is one of the last two or the first three days of a month."""
    return day.day <= 3 or (day + timedelta(days=2)).day <= 2


def office(local: datetime, rate: float) -> float:
    """From seven to five on working days; somebody works late now and then, and on a Saturday."""
    if _is_free(local.date()) or not 7 <= local.hour < 17:
        return 0.004 * rate if 6 <= local.hour < 23 else 0.0
    busy = (0.4, 1, 1.3, 1.2, 0.8, 1, 1.1, 1, 0.6, 0.3)[local.hour - 7]
    return rate * busy * (3 if _month_end(local.date()) else 1) * (0.5 if local.month == 7 else 1)


def shop(local: datetime, rate: float) -> float:
    """At all hours, least at night, more before Christmas."""
    share = 0.05 if local.hour < 6 else 1.4 if 18 <= local.hour < 23 else 0.8
    return rate * share * (2 if local.month == 12 and local.day < 22 else 1)


def nightly(local: datetime, rate: float) -> float:
    """One run each night, at an hour of UTC: in summer it is an hour later by the clock on the wall."""
    return 50 * rate if local.astimezone(UTC).hour == 1 else 0.0


def monthly(local: datetime, rate: float) -> float:
    """Send on some working days around the end of each month, and nothing between."""
    return office(local, rate) if _month_end(local.date()) else 0.0


HABITS: tuple[tuple[Habit, tuple[float, ...], int], ...] = (
    (office, (30.0, 8.0, 2.0, 0.6, 0.15, 0.04), 6),
    (shop, (40.0, 5.0, 1.0), 2),
    (nightly, (1.0,), 1),
    (monthly, (3.0, 20.0), 1),
)
"""Each habit with the rates it may have, and how many of ten companies have it."""


def companies(year: int, random: Random, many: int = 100) -> list[Company]:
    """Return who sends: `many` at a publisher of many, a few at another, one at a third."""
    shares = [(habit, rates) for habit, rates, weight in HABITS for _ in range(weight)]
    found = [_company("many", f"{number}", *shares[number % len(shares)], year, random) for number in range(many)]
    found += [_company("few", f"{number}", *shares[number], year, random) for number in range(5)]
    return [*found, _company("single", "1", office, (30.0,), year, random, moves=False)]


def _company(
    publisher: str, name: str, habit: Habit, rates: tuple[float, ...], year: int, random: Random, *, moves: bool = True
) -> Company:
    starts, ends = date(year - 1, 1, 1), date(year + 2, 1, 1)
    if moves and random.random() < 0.1:
        starts = date(year, 1, 1) + timedelta(days=random.randrange(300))
    elif moves and random.random() < 0.05:
        ends = date(year, 1, 1) + timedelta(days=random.randrange(30, 330))
    return Company(publisher, name, habit, random.choice(rates), starts, ends, _closed(habit, year, random))


def _closed(habit: Habit, year: int, random: Random) -> frozenset[date]:
    """Return days off of its own: bridging days, some weeks in summer, the days after Christmas."""
    if habit is not office and habit is not monthly:
        return frozenset()
    days = [date(year, 1, 1) + timedelta(days=number) for number in range(-90, 365)]
    closed = {day for day in days if random.random() < 0.008}
    if random.random() < 0.35:  # for three weeks, as is usual
        first = date(year, 7, 6) + timedelta(days=7 * random.randrange(2))
        closed |= {first + timedelta(days=number) for number in range(21)}
    if random.random() < 0.5:
        closed |= {date(year, 12, number) for number in range(24, 32)}
    return frozenset(closed)


def hours(
    members: list[Company], year: int, random: Random, down: Mapping[int, float], before: int = 90
) -> Iterator[tuple[int, Hour]]:
    """Yield each hour, since 1970, from so many days before the year to its end; `down`: which part we listened."""
    first = int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) // 3600 - before * 24
    last = int(datetime(year + 1, 1, 1, tzinfo=UTC).timestamp()) // 3600
    for hour in range(first, last):
        yield hour, one_hour(members, hour, random, down.get(hour, 1.0))


def one_hour(members: list[Company], hour: int, random: Random, listened: float = 1.0) -> Hour:
    """Return what comes in an hour."""
    local = datetime.fromtimestamp(hour * 3600, OSLO)
    came = dict[str, Came]()
    slots = "1" * round(listened * SLOTS)
    for company in members if listened else ():
        if not company.starts <= local.date() < company.ends or local.date() in company.closed:
            continue
        mean = company.habit(local, company.rate) * listened
        if mean and (events := _poisson(mean, random)):
            at = hour * HOUR + random.randrange(HOUR)
            came[company.subject] = Came(events, at)
            whole = came.get(company.publisher, Came(0, 0))
            came[company.publisher] = Came(whole.events + events, max(whole.last, at))
    return Hour(came, slots.ljust(SLOTS, "0"))


def _poisson(mean: float, random: Random) -> int:
    if mean > 20:
        return max(0, round(random.gauss(mean, mean**0.5)))
    left, number = random.expovariate(1.0), 0
    while left < mean:
        left += random.expovariate(1.0)
        number += 1
    return number
