"""How many are let through, when, and what a refused one is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.http.rate_limit import RateLimit, Sparing, retry_after


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock."""
    return Clock()


def taken(limit: RateLimit, tries: int) -> int:
    """Return how many of so many are let through at once."""
    return sum(not limit.take() for _ in range(tries))


def test_a_burst_then_the_rate(clock: Clock) -> None:
    """After a pause the whole burst passes at once, and then one for each interval."""
    limit = RateLimit(10, 5, clock)
    assert taken(limit, 20) == 5
    clock.now += 0.1
    assert taken(limit, 20) == 1
    clock.now += 0.35
    assert taken(limit, 20) == 3
    clock.now += 3600
    assert taken(limit, 20) == 5


def test_a_refused_one_costs_nothing(clock: Clock) -> None:
    """Whoever hammers does not put off the time at which the next one passes."""
    limit = RateLimit(1, 1, clock)
    assert limit.take() == 0
    for _ in range(1000):
        assert limit.take() == pytest.approx(1)
    clock.now += 1
    assert limit.take() == 0


def test_the_wait_is_what_it_takes(clock: Clock) -> None:
    """After the seconds that a refused one is told, one passes."""
    limit = RateLimit(3, 2, clock)
    while not (wait := limit.take()):
        pass
    clock.now += wait
    assert limit.take() == 0
    assert limit.take() > 0


@given(rate=st.floats(0.1, 1000), burst=st.integers(1, 50), steps=st.lists(st.floats(0, 2), min_size=1, max_size=200))
def test_never_more_than_burst_and_rate(rate: float, burst: int, steps: list[float]) -> None:
    """In any span no more pass than the burst and what the rate gives for that span."""
    clock = Clock()
    limit, start, passed = RateLimit(rate, burst, clock), clock.now, 0
    for step in steps:
        clock.now += step
        passed += not limit.take()
        assert passed <= burst + (clock.now - start) * rate + 1e-3


@pytest.mark.parametrize(("wait", "value"), [(0.001, "1"), (1.0, "1"), (1.2, "2"), (90.0, "90")])
def test_retry_after_is_whole_seconds(wait: float, value: str) -> None:
    """The header has whole seconds, rounded up, and never 0."""
    assert retry_after(wait) == value


def test_a_spared_line_counts_what_was_left_out(clock: Clock) -> None:
    """Of a flood some lines are logged; the next one says how many were not."""
    sparing = Sparing(RateLimit(1, 2, clock))
    assert [sparing.next() for _ in range(5)] == [{}, {}, None, None, None]
    clock.now += 1
    assert sparing.next() == {"unlogged_before": 3}
    clock.now += 1
    assert sparing.next() == {}
