"""Replaying traffic: which silences the ledger says, month by month, and how late it says those that are true."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from config.silence import SilenceSettings
from router.store.watched.traffic import HOUR, SLOTS, Hour
from silence.year import Company, companies, hours
from workers.silence.ledger import Ledger

_LONGEST = 24 * 21
"""Hours for which a broken sender is waited for at most."""


@dataclass
class Found:
    """What a replay found: false alarms by month, those that left (days until that was said), and delays in hours."""

    year: int
    false: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    left: dict[str, float] = field(default_factory=dict)
    delays: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    unseen: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    members: list[Company] = field(default_factory=list)


def replay(year: int, seed: int, many: int = 100, trials: int = 300, days: int = 365) -> Found:
    """Replay a year, or so many days of it, and at some moments let senders break off, to see when that is said."""
    random = Random(seed)
    found = Found(year, members=companies(year, random, many))
    ends = {company.subject: company.ends for company in found.members}
    ledger, silent = None, set[str]()
    down = _down(year, random)
    at = sorted(random.sample(range(90 * 24, (90 + days - 25) * 24), trials))
    for number, (hour, came) in enumerate(hours(found.members, year, random, down)):
        if number >= (90 + days) * 24:
            break
        ledger = ledger or Ledger(SilenceSettings(), hour)
        ledger.fold(came)
        now = {one.subject: one for one in ledger.silences((hour + 1) * HOUR, Hour())}
        day = datetime.fromtimestamp(hour * 3600, UTC).date()
        for subject in now.keys() - silent:
            if subject in ends and day >= ends[subject]:
                found.left[subject] = (day - ends[subject]).days
            elif day.year == year:
                found.false[day.month].append(subject)
        silent = set(now)
        if at and number == at[0]:
            at.pop(0)
            for subject in _senders(silent, ledger, random):
                _break_off(ledger, subject, hour + 1, found)
    return found


def _down(year: int, random: Random) -> dict[int, float]:
    """Return hours in which nothing could be received: we were away for half a day, three times, and for a week."""
    first = int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) // 3600
    away = dict[int, float]()
    for length in (12, 12, 12, 168):
        start = first + random.randrange(300 * 24)
        away |= dict.fromkeys(range(start, start + length), 0.0)
    return away


def _senders(silent: set[str], ledger: Ledger, random: Random) -> Iterator[str]:
    """Choose the publishers, and some companies, that are known and not silent now."""
    known = [name for name, one in ledger.profiles.items() if one.is_known(ledger.folded) and name not in silent]
    yield from (name for name in known if "/" not in name)
    sent = [name for name in known if "/" in name]
    yield from random.sample(sent, min(3, len(sent)))


def _break_off(ledger: Ledger, subject: str, hour: int, found: Found) -> None:
    """Let nothing more come of a subject, and find out after how many hours that is said."""
    kind, alone = _kind(subject, found.members), ledger.quiet(subject)
    for waited in range(1, _LONGEST):
        alone.fold(Hour({}, "1" * SLOTS))
        if any(one.subject == subject for one in alone.silences((hour + waited) * HOUR, Hour())):
            found.delays[kind].append(waited)
            return
    found.unseen[kind] += 1


def _kind(subject: str, members: list[Company]) -> str:
    if "/" not in subject:
        return f"publisher `{subject}`"
    company = next(one for one in members if one.subject == subject)
    return f"{company.habit.__name__}, {company.rate:g} an hour"
