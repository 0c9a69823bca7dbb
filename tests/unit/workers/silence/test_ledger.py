"""What is learnt of a subject's traffic, hour after hour, and when the ledger calls it silent."""

from datetime import UTC, datetime

import pytest

from config.silence import SilenceSettings
from router.store.watched.traffic import HOUR, MOST, SLOTS, Came, Hour
from workers.silence.ledger import Ledger
from workers.silence.profile import Profile

P, C = "p", "p/7"
START = int(datetime(2026, 2, 2, tzinfo=UTC).timestamp()) // 3600
"""A Monday."""
ALL = "1" * SLOTS


def office(hour: int) -> bool:
    """Return whether an office works in an hour, by the clock of UTC."""
    moment = datetime.fromtimestamp(hour * 3600, UTC)
    return moment.weekday() < 5 and 8 <= moment.hour < 16


def hour_of(hour: int, *subjects: str, slots: str = ALL) -> Hour:
    """Return an hour in which one event of each of these came."""
    return Hour({subject: Came(1, hour * HOUR) for subject in subjects}, slots)


def learnt(weeks: int = 6, **settings: object) -> Ledger:
    """Return a ledger that has seen a company for so many weeks, which sends in office hours."""
    ledger = Ledger(SilenceSettings(zone="UTC", **settings), START)
    for _ in range(weeks * 168):
        ledger.fold(hour_of(ledger.folded, *((P, C) if office(ledger.folded) else ())))
    return ledger


def silent_after(ledger: Ledger, subject: str = C, *others: str, slots: str = ALL, most: int = 400) -> int | None:
    """Return after how many hours without an event a subject is silent."""
    for waited in range(1, most):
        ledger.fold(hour_of(ledger.folded, *(others if office(ledger.folded) else ()), slots=slots))
        if any(one.subject == subject for one in ledger.silences(ledger.folded * HOUR, Hour())):
            return waited
    return None


def test_a_company_that_stops() -> None:
    """A night and a weekend are no silence, nor is one day off; a second working day is."""
    ledger = learnt()
    assert silent_after(ledger) == 24 + 10  # on Tuesday, at ten


def test_a_weekend_does_not_count() -> None:
    """A company that stops on a Friday is missed on Monday."""
    ledger = learnt()
    for _ in range(4 * 24):
        ledger.fold(hour_of(ledger.folded, *((P, C) if office(ledger.folded) else ())))
    assert silent_after(ledger) == 3 * 24 + 10


def test_holidays_do_not_count() -> None:
    """On a holiday of the country nothing is missed: of five such days in a row only the working days count."""
    ledger = learnt(8, holidays=["NO"])  # until Monday, 30 March 2026: Maundy Thursday is on 2 April
    for _ in range(3 * 24):
        ledger.fold(hour_of(ledger.folded, *((P, C) if office(ledger.folded) else ())))
    assert silent_after(ledger) == 6 * 24 + 10  # on Wednesday after Easter


def test_a_new_company_has_no_history() -> None:
    """Nothing is missed of a company of which too little is known, by the time or by what it sent."""
    assert silent_after(learnt(1), most=100) is None
    ledger = learnt(0)
    ledger.fold(hour_of(START, P, C))
    assert silent_after(ledger, most=600) is None


def test_time_without_an_ingress_does_not_count() -> None:
    """While nobody listened, nothing is missed, and nothing is learnt."""
    ledger = learnt()
    before = bytes(ledger.profiles[C].packed())
    assert silent_after(ledger, slots="0" * SLOTS) is None
    assert ledger.profiles[C].packed() == before


def test_a_sender_at_all_hours_is_missed_soon() -> None:
    """One that sends each hour is missed within a day, and a publisher of many companies within some hours."""
    ledger = Ledger(SilenceSettings(), START)
    many = [f"p/{number}" for number in range(40)]
    for _ in range(6 * 168):
        ledger.fold(hour_of(ledger.folded, P, *many))
    alone = ledger.quiet("p/3")
    assert silent_after(alone, "p/3") == 16
    assert silent_after(ledger, P) == 3


def test_a_longer_gap_is_learnt() -> None:
    """A gap that turned out to be none makes the next one longer that is missed."""
    ledger = learnt()
    first = silent_after(ledger)
    assert first is not None
    while (ledger.folded - START) % 168:
        ledger.fold(hour_of(ledger.folded))
    for _ in range(2 * 168):
        ledger.fold(hour_of(ledger.folded, *((P, C) if office(ledger.folded) else ())))
    again = silent_after(ledger)
    assert again is not None
    assert again > first + 12


def test_summer_time() -> None:
    """Weekdays and hours are those of the time zone: an office is not early or late where the clocks change."""
    ledger = Ledger(SilenceSettings(zone="Europe/Oslo"), START)
    oslo = ledger._week._zone
    for _ in range(16 * 168):
        local = datetime.fromtimestamp(ledger.folded * 3600, oslo)
        ledger.fold(hour_of(ledger.folded, *((P, C) if local.weekday() < 5 and 8 <= local.hour < 16 else ())))
    cells = ledger.profiles[C].cells
    assert max(cells[7], cells[16]) == 0
    assert min(cells[8:16]) > 50_000


def test_others_that_are_quiet_too() -> None:
    """Where most companies are quiet at once it is a holiday that no calendar has: each is missed much later."""
    ledger = Ledger(SilenceSettings(zone="UTC"), START)
    many = [f"p/{number}" for number in range(40)]
    for _ in range(6 * 168):
        ledger.fold(hour_of(ledger.folded, *([P, *many] if office(ledger.folded) else ())))
    alone, together = ledger.quiet("p/1"), ledger
    assert silent_after(alone, "p/1") == 24 + 10
    assert (silent_after(together, "p/1", P, *many[20:]) or 0) > 3 * 24


def test_a_fixed_time_counts_hours_in_which_somebody_listened() -> None:
    """With a fixed time a subject is silent after so many hours, at night as well; one that is off never is."""
    ledger = learnt(2, after="26h", companies="off")
    while not office(ledger.folded - 1):
        ledger.fold(hour_of(ledger.folded, *((P, C) if office(ledger.folded) else ())))
    assert silent_after(ledger, P) in (25, 26)
    assert silent_after(ledger, C, most=100) is None


def test_companies_are_bounded() -> None:
    """Of more companies than there is room for, those that came first are known; publishers always are."""
    ledger = Ledger(SilenceSettings(), START)
    ledger.fold(hour_of(START, *(f"p/{number}" for number in range(MOST + 10)), "p"))
    assert len(ledger.profiles) == MOST + 1
    assert "p" in ledger.profiles


def test_what_left_long_ago_is_forgotten() -> None:
    """A company of which nothing came for more than a year makes room."""
    ledger = learnt(2)
    ledger.skip(ledger.folded + 401 * 24)
    assert sorted(ledger.forget()) == [P, C]
    assert ledger.profiles == {}


def test_a_profile_is_written_and_read() -> None:
    """What is written has a fixed length, and says the same when it is read; what is no profile is none."""
    profile = learnt().profiles[C]
    text = profile.packed()
    assert Profile.of(text) == profile
    assert len(text) == len(Profile(0).packed()) < 400
    for rubbish in (b"", b"x", text[:-1], b"\xff" + text[1:]):
        assert Profile.of(rubbish) is None


@pytest.mark.parametrize("events", [0, 1])
def test_an_hour_of_which_nothing_is_known(events: int) -> None:
    """An hour that nobody noted leaves all as it was; one of which only events are known counts as listened."""
    ledger = learnt()
    before = ledger.profiles[C].packed()
    hour = hour_of(ledger.folded, *[C] * events, slots="0" * SLOTS)
    ledger.fold(hour)
    assert (ledger.profiles[C].packed() == before) == (not events)
