"""What the headers of an answer say of a quota."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from router.store.limits import Heard
from workers.limits.headers import heard_in

NOW = 1_764_000_000.0


def heard(headers: dict[str, str], status: int = 200) -> Heard:
    """Return what an answer with these headers says now."""
    return heard_in("x-ratelimit", headers, status, NOW)


def test_limit_and_what_is_left() -> None:
    """Names of headers have no case, and a whole number of seconds may have been rounded down."""
    found = heard({"X-RateLimit-Limit": "500", "x-ratelimit-remaining": "499", "X-Ratelimit-Reset": "1800"})
    assert found == Heard(500, 499, 1801.0)


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("1800", 1801.0),
        ("0", 1.0),
        ("0.25", 0.25),
        (f"{NOW + 60:.0f}", 61.0),
        (f"{(NOW + 60) * 1000:.0f}", 61.0),
        (f"{NOW - 60:.0f}", 0.0),
        ("2025-11-24T16:01:00Z", 61.0),
        (formatdate(NOW + 60, usegmt=True), 61.0),
        ("tomorrow", None),
        ("", None),
        ("-5", None),
    ],
)
def test_the_end_of_a_window(reset: str, seconds: float | None) -> None:
    """It may be a span, or a time in seconds, in milliseconds or in words."""
    assert heard({"X-RateLimit-Reset": reset}).ends_in == pytest.approx(seconds, abs=1.01) if seconds else True
    assert (heard({"X-RateLimit-Reset": reset}).ends_in is None) == (seconds is None)


def test_a_time_is_taken_by_the_clock_that_sent_it() -> None:
    """Where the answer says when it was sent, no clock of ours counts."""
    headers = {"X-RateLimit-Reset": f"{NOW + 1060:.0f}", "Date": formatdate(NOW + 1000, usegmt=True)}
    assert heard(headers).ends_in == 61.0


def test_a_policy_says_how_long_a_window_is() -> None:
    """Without an end the window is taken to begin now."""
    assert heard({"X-RateLimit-Policy": "500;w=3600"}).ends_in == 3600.0


@pytest.mark.parametrize(
    ("limit", "remaining", "left"),
    [
        ("500", "1000", 500),
        ("500", "-3", 0),
        ("500", "450, 20", 20),
        ("500", "20;w=60, 450;w=3600", 20),
        ("0", "7", 7),
        ("-1", "-1", None),
        ("500", "many", None),
        ("500", "4\u0662", None),
        ("500", "1e9", None),
    ],
)
def test_what_is_left_is_never_more_than_it_can_be(limit: str, remaining: str, left: int | None) -> None:
    """It is no more than the limit, nothing where it is below zero, and the least of several; -1 of -1 is no number."""
    assert heard({"X-RateLimit-Limit": limit, "X-RateLimit-Remaining": remaining}).left == left


def test_a_header_that_comes_twice() -> None:
    """Of two that say what is left, such as one of a proxy, the lower counts, in whatever order they came."""
    for values in (("3", "400"), ("400", "3")):
        given = CIMultiDict([("X-RateLimit-Limit", "500"), *(("X-RateLimit-Remaining", value) for value in values)])
        assert heard_in("x-ratelimit", given, 200, NOW).left == 3


def test_a_window_that_is_over_is_not_over_with_each_answer() -> None:
    """Where a header names a time that is past, a window is taken to last a second: calls do not go one by one."""
    assert heard({"X-RateLimit-Remaining": "400", "X-RateLimit-Reset": f"{NOW - 60:.0f}"}).ends_in == 1.0


def test_a_refusal_closes() -> None:
    """429 closes for its Retry-After, or until the end of the window, or for a minute."""
    assert heard({"Retry-After": "30", "X-RateLimit-Reset": "5"}, 429).closed == 31.0
    assert heard({"Retry-After": formatdate(NOW + 30, usegmt=True)}, 429).closed == pytest.approx(31.0)
    assert heard({"X-RateLimit-Reset": "5"}, 429).closed == 6.0
    assert heard({}, 429).closed == 60.0
    assert heard({"Retry-After": "30"}, 503).closed is None


@pytest.mark.parametrize(
    ("status", "answered"),
    [(200, True), (404, True), (0, False), (500, False), (503, False), (401, False), (403, False), (407, False)],
)
def test_who_has_not_answered_says_nothing_by_silence(status: int, answered: bool) -> None:  # noqa: FBT001 - a column
    """That an answer has no headers says something only where it was made by who counts."""
    assert heard({}, status) == Heard(answered=answered)


def test_without_a_prefix_only_a_refusal_counts() -> None:
    """A fixed rate knows its numbers."""
    assert heard_in(None, {"X-RateLimit-Remaining": "0"}, 200, NOW) == Heard()
    assert heard_in(None, {"Retry-After": "1.5"}, 429, NOW).closed == 1.5


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "x-ratelimit-limit",
                "x-ratelimit-remaining",
                "x-ratelimit-reset",
                "x-ratelimit-policy",
                "retry-after",
                "date",
            ]
        ),
        st.text(max_size=30),
    ),
    st.integers(0, 599),
)
def test_rubbish_ends_nothing(headers: dict[str, str], status: int) -> None:
    """Whatever headers hold, what is understood of them are numbers that a script can take."""
    found = heard(headers, status)
    for number in (found.limit, found.left, found.ends_in, found.closed):
        assert number is None or 0 <= number <= 1 << 53
