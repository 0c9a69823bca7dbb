"""What is kept with an event that was deferred."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.deferrals import Deferrals, deferred_again, read_deferrals
from workers.outcomes import DeferFor


@given(st.lists(st.tuples(st.floats(0, 4e9), st.text(max_size=300)), min_size=1, max_size=5))
def test_what_is_written_is_read(times: list[tuple[float, str]]) -> None:
    """However often it was deferred, the first time and the last reason are known."""
    field = None
    for now, reason in times:
        field = deferred_again(read_deferrals(field), now, DeferFor(1.0, reason))
    found = read_deferrals(field)
    assert found == Deferrals(len(times), round(times[0][0] * 1000), times[-1][1][:200])


def test_a_reason_may_hold_what_no_encoding_carries() -> None:
    """The reason is the text of an error of a user's, which can hold half of a surrogate pair."""
    found = read_deferrals(deferred_again(None, 1.0, DeferFor(1.0, "customer \udcff")))
    assert found is not None
    assert found.reason == "customer \\udcff"


@pytest.mark.parametrize(
    "rubbish",
    [
        b"",
        b"{}",
        b"[]",
        b"7",
        b'[0,1,"x"]',
        b'[-1,1,"x"]',
        b'[1,-1,"x"]',
        b"[1,1]",
        b"\xff",
        b'[1e99,1,"x"]',
        b'[1,1,"x",-1]',
    ],
)
def test_rubbish_is_no_deferral(rubbish: bytes) -> None:
    """What somebody else wrote there counts as nothing, and ends no delivery."""
    assert read_deferrals(rubbish) is None


@given(st.floats(1, 1e7), st.floats(0, 4e9), st.floats(0, 4e9))
def test_what_is_left_is_never_more_than_all(longest: float, since: float, now: float) -> None:
    """A clock that was set back makes nobody wait longer than allowed, and the age is counted from the first time."""
    left = Deferrals(1, round(since * 1000), "").left(longest, now)
    assert left <= longest
    if now >= since:
        assert math.isclose(left, longest - (now - since), abs_tol=0.01)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.booleans()), min_size=1, max_size=10))
def test_the_time_for_which_a_target_is_down_does_not_count(waits: list[tuple[float, bool]]) -> None:
    """Only deferrals that are bounded use up what `defer_max` allows, however long the others are."""
    field, now = None, 0.0
    for seconds, bounded in waits:
        field = deferred_again(read_deferrals(field), now, DeferFor(seconds, "", bounded))
        now += seconds
    found = read_deferrals(field)
    assert found is not None
    counted = sum(seconds for seconds, bounded in waits if bounded)
    assert math.isclose(found.left(1e7, now), 1e7 - counted, abs_tol=0.1)


def test_what_was_written_before_there_were_breakers() -> None:
    """A field without the time that does not count is read: nothing was excused."""
    assert read_deferrals(b'[2,5,"x"]') == Deferrals(2, 5, "x", 0)
