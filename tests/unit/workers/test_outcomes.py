"""What a handler may raise or return."""

import math
import pickle
from datetime import timedelta
from typing import Any

import pytest

from config.errors import RouterError
from workers.outcomes import DeadLetter, Defer, HandlerTimeout, RetryLater, WorkerLost


@pytest.mark.parametrize(("given", "seconds"), [(60, 60.0), (0.5, 0.5), (0, 0.0), (timedelta(minutes=2), 120.0)])
def test_a_delay_is_given_in_seconds_or_as_a_timedelta(given: Any, seconds: float) -> None:
    """The delay is kept in seconds, whatever it was given in."""
    assert RetryLater(given).delay == Defer(given).delay == seconds


@pytest.mark.parametrize("wrong", [-1, timedelta(seconds=-1), math.inf, -math.inf, math.nan])
def test_what_is_no_delay_is_refused(wrong: Any) -> None:
    """A delay lies in the future and is finite."""
    for outcome in (RetryLater, Defer):
        with pytest.raises(ValueError, match=f"{outcome.__name__} takes a delay of 0 seconds or more"):
            outcome(wrong)


def test_reasons_are_the_texts() -> None:
    """The reason given is the exception's text; without one there is a default that says who."""
    assert str(RetryLater(1, "closed today")) == "closed today"
    assert "the handler" in str(RetryLater(1))
    assert str(Defer(1, "the quota is used up")) == "the quota is used up"
    assert "the handler" in str(Defer(1))
    assert str(DeadLetter("customer is gone")) == "customer is gone"
    assert "the handler" in str(DeadLetter())


def test_our_own_errors_are_router_errors() -> None:
    """What the worker itself finds wrong has the one root; what a user raises has not."""
    assert issubclass(HandlerTimeout, RouterError)
    assert issubclass(WorkerLost, RouterError)
    assert not issubclass(DeadLetter, RouterError)
    assert str(pickle.loads(pickle.dumps(DeadLetter("why")))) == "why"
