"""The retry policy."""

import math
import re
from random import Random
from typing import Any

import pytest

from config.errors import ConfigError
from workers.outcomes import (
    BreakerOpen,
    Dead,
    DeadLetter,
    Defer,
    DeferFor,
    Done,
    HandlerTimeout,
    Outcome,
    RetryIn,
    RetryLater,
)
from workers.retry import Retry, decide

POLICY = Retry(max_attempts=3, first_delay=2, max_delay=900, never=(LookupError, HandlerTimeout))


def group(*members: Exception) -> Exception:
    """Return what a TaskGroup raises when these failed."""
    return ExceptionGroup("unhandled errors in a TaskGroup", list(members))


def caused(error: Exception, cause: Exception) -> Exception:
    """Return an error as `raise … from …` makes it."""
    error.__cause__ = cause
    return error


class Longest(Random):
    """Always draws the longest delay."""

    def uniform(self, _a: float, b: float) -> float:
        """Draw."""
        return b


@pytest.mark.parametrize(
    ("attempt", "result", "outcome"),
    [
        (1, None, Done()),
        (9, None, Done()),
        (1, ValueError("x"), RetryIn(2)),
        (2, ValueError("x"), RetryIn(4)),
        (3, ValueError("x"), Dead("failed 3 of 3 attempts")),
        (4, ValueError("x"), Dead("failed 4 of 3 attempts")),
        (1, RetryLater(60), RetryIn(60)),
        (2, RetryLater(0), RetryIn(0)),
        (3, RetryLater(60), Dead("failed 3 of 3 attempts")),
        (1, DeadLetter("why"), Dead("why")),
        (3, DeadLetter("why"), Dead("why")),
        (1, LookupError("x"), Dead("LookupError is never retried")),
        (1, KeyError("x"), Dead("KeyError is never retried")),
        (1, HandlerTimeout("x"), Dead("HandlerTimeout is never retried")),
        (1, SystemExit(1), RetryIn(2)),
        (1, KeyboardInterrupt(), RetryIn(2)),
        (1, group(DeadLetter("why")), Dead("why")),
        (1, group(group(RetryLater(60))), RetryIn(60)),
        (1, group(KeyError("x")), Dead("KeyError is never retried")),
        (1, group(ValueError("x")), RetryIn(2)),
        (1, BaseExceptionGroup("g", [SystemExit(1), DeadLetter("why")]), Dead("why")),
        (1, group(ValueError("x"), RetryLater(60)), RetryIn(60)),
        (1, group(RetryLater(5), RetryLater(60), RetryLater(7)), RetryIn(60)),
        (1, group(RetryLater(60), group(KeyError("x"))), Dead("KeyError is never retried")),
        (1, group(KeyError("x"), RetryLater(60), DeadLetter("why")), Dead("why")),
        (3, group(ValueError("x"), RetryLater(60)), Dead("failed 3 of 3 attempts")),
        (1, Defer(60, "full"), DeferFor(60, "full")),
        (3, Defer(60, "full"), DeferFor(60, "full")),  # no attempt, so none is the last
        (1, Defer(0, "full"), DeferFor(0.1, "full")),  # again and again, it must not keep a worker busy
        (1, group(Defer(5, "a"), group(Defer(60, "b"))), DeferFor(60, "b")),
        (1, group(Defer(60), DeadLetter("why")), Dead("why")),
        (1, group(Defer(60), ValueError("x")), RetryIn(60)),  # something failed: an attempt, not sooner than asked
        (3, group(Defer(60), ValueError("x")), Dead("failed 3 of 3 attempts")),
        (1, group(RetryLater(5), Defer(60)), RetryIn(60)),
        (1, caused(ValueError("x"), Defer(60)), RetryIn(2)),
        (1, caused(ValueError("x"), DeadLetter("why")), RetryIn(2)),  # only groups are taken apart
    ],
)
def test_what_becomes_of_an_attempt(attempt: int, result: BaseException | None, outcome: Outcome) -> None:
    """Dead where the handler, the policy or the count says so, else a retry; of a group the strongest member counts."""
    assert decide(POLICY, attempt, result, Longest()) == outcome


def test_a_deferral_ends_with_the_age_that_is_allowed() -> None:
    """An event is deferred no further than its `defer_max`; the last time, it is handed over once more, then dead."""
    assert decide(POLICY, 1, Defer(60, "full"), Longest(), deferrable=7.5) == DeferFor(7.5, "full")
    assert decide(POLICY, 1, Defer(60, "full"), Longest(), deferrable=0) == Dead(
        "deferred for longer than defer_max allows: full"
    )


def test_nothing_bounds_the_wait_for_what_is_down() -> None:
    """An event waits for an open breaker however long it was deferred, unless it asks for another deferral, too."""
    assert decide(POLICY, 1, BreakerOpen(60, "down"), Longest(), deferrable=0) == DeferFor(60, "down", bounded=False)
    both = group(BreakerOpen(60, "down"), Defer(5, "full"))
    assert decide(POLICY, 1, both, Longest(), deferrable=7.5) == DeferFor(7.5, "down")


def test_what_is_never_retried_is_deferred_all_the_same() -> None:
    """`never` names failures, and a deferral is none."""
    assert decide(Retry(never=Exception), 1, Defer(60, "full"), Longest()) == DeferFor(60, "full")


def test_a_deferral_without_a_delay_is_a_failure() -> None:
    """A subclass that forgot its super().__init__() fails as any other error."""

    class Broken(Defer):
        def __init__(self) -> None:
            pass

    assert decide(POLICY, 1, Broken(), Longest()) == RetryIn(2)
    assert decide(POLICY, 1, group(Broken(), Defer(9)), Longest()) == RetryIn(9)


@pytest.mark.parametrize(
    ("attempt", "ceiling"), [(1, 2), (2, 4), (3, 8), (9, 512), (10, 900), (64, 900), (10_000, 900), (0, 1)]
)
def test_the_ceiling_doubles_up_to_the_longest(attempt: int, ceiling: float) -> None:
    """Each attempt may wait twice as long as the one before, up to max_delay, however many there are."""
    assert POLICY.ceiling(attempt) == ceiling


def test_the_delay_is_spread_over_all_of_the_ceiling() -> None:
    """Full jitter: events that failed together do not come back together."""
    random = Random(1)
    delays = [POLICY.delay(3, random) for _ in range(1000)]
    assert all(0 <= delay <= 8 for delay in delays)
    assert min(delays) < 0.5
    assert max(delays) > 7.5
    assert 3.5 < sum(delays) / len(delays) < 4.5


def test_the_delay_is_a_function_of_its_randomness() -> None:
    """The same random numbers give the same delays: nothing else goes in."""
    assert [POLICY.delay(n, Random(7)) for n in range(1, 5)] == [POLICY.delay(n, Random(7)) for n in range(1, 5)]


def test_no_delay_at_all_is_a_policy_too() -> None:
    """`first_delay=0` is allowed and stays 0."""
    assert decide(Retry(first_delay=0, max_delay=0), 1, ValueError(), Longest()) == RetryIn(0)


@pytest.mark.parametrize(
    "options",
    [
        {"max_attempts": 0},
        {"max_attempts": -1},
        {"first_delay": -1},
        {"first_delay": 10, "max_delay": 5},
        {"max_delay": math.inf},
        {"first_delay": math.nan},
        {"max_delay": math.nan},
        {"never": (42,)},
        {"never": ("ValueError",)},
        {"never": (int,)},
    ],
    ids=str,
)
def test_a_policy_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    """Wrong numbers are found when they are written, and the message repeats them."""
    with pytest.raises(ConfigError, match=re.escape(str(next(iter(options.values()))))):
        Retry(**options)


@pytest.mark.parametrize("never", [KeyError, [KeyError], (KeyError, OSError), {KeyError}])
def test_never_takes_one_class_or_several(never: Any) -> None:
    """One class of exceptions, or any collection of them."""
    assert decide(Retry(never=never), 1, KeyError("x"), Longest()) == Dead("KeyError is never retried")


def test_the_defaults_are_sensible() -> None:
    """Eight attempts over a good quarter of an hour."""
    assert Retry() == Retry(max_attempts=8, first_delay=2.0, max_delay=900.0, never=())
    assert sum(Retry().ceiling(attempt) for attempt in range(1, 8)) == 254
