"""What an answer means for the event, by a table; and how its text is kept and shown."""

from datetime import UTC, datetime
from random import Random

import pytest

from workers.delivery import AttemptError, error_line, read_history
from workers.failure import described
from workers.forward.answer import answer_text
from workers.forward.verdict import BadAnswer, Gone, kind_of, verdict
from workers.operations.answered import ANSWERED, shown_message
from workers.outcomes import BreakerOpen, Defer, DeferFor, RetryIn
from workers.outgoing import Exchange
from workers.retry import Retry, decide


def exchange(status: int, retry_after: float | None = None) -> Exchange:
    """Return what came back."""
    return Exchange(status, b"so", retry_after, 0.1, "192.0.2.1", {})


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_done(status: int) -> None:
    """Every 2xx says that the receiver has the event."""
    assert verdict(exchange(status), "") is None


@pytest.mark.parametrize("status", [300, 302, 308, 400, 401, 404, 409, 422, 429, 500, 502, 503, 504, 599, 999, 199])
def test_not_taken(status: int) -> None:
    """Every other status is a failed attempt; also 429 and 503 that name no time."""
    found = verdict(exchange(status), "so")
    assert type(found) is BadAnswer
    assert str(found).startswith(f"the receiver answered {status}")
    assert isinstance(decide(Retry(), 1, found, Random(0)), RetryIn)


def test_each_status_has_a_fingerprint_of_its_own() -> None:
    """What is counted as one error is one status: words tell those apart whose numbers are folded."""
    texts = {str(verdict(exchange(status), "")).replace(str(status), "#") for status in (400, 404, 500, 502)}
    assert len(texts) == 4


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("named", "seconds"), [(30.0, 30.0), (0.0, 1.0), (0.2, 1.0), (86_400.0 * 365, 3600.0), (float("inf"), 3600.0)]
)
def test_put_off(status: int, named: float, seconds: float) -> None:
    """429 and 503 with Retry-After put the event off, for a second to an hour, and use up no attempt."""
    found = verdict(exchange(status, named), "")
    assert type(found) is Defer
    assert found.delay == seconds
    assert isinstance(decide(Retry(), 1, found, Random(0)), DeferFor)


@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_time_with_another_status(status: int) -> None:
    """Retry-After with any other status changes nothing."""
    assert not isinstance(verdict(exchange(status, 30.0), ""), Defer)


def test_gone() -> None:
    """410 is no attempt, and is bounded by nothing: the event waits until somebody resumes the subscription."""
    found = verdict(exchange(410, 5.0), "")
    assert isinstance(found, Gone)
    assert isinstance(found, BreakerOpen)
    outcome = decide(Retry(max_attempts=1), 1, found, Random(0), deferrable=0.0)
    assert isinstance(outcome, DeferFor)
    assert not outcome.bounded


@pytest.mark.parametrize(("status", "kind"), [(204, "2xx"), (410, "410"), (404, "4xx"), (503, "503"), (500, "5xx")])
def test_what_is_counted(status: int, kind: str) -> None:
    """Statuses are counted by class, and those that mean more by themselves."""
    assert kind_of(status) == kind


def history_of(error: BaseException) -> AttemptError:
    """Return a failure as the history keeps it."""
    [attempt] = read_history(error_line(error, 1, datetime(2026, 3, 1, tzinfo=UTC).timestamp()).encode())
    return attempt


def test_the_answer_is_kept_with_the_event_alone() -> None:
    """Status and answer stand in the history; what logs and traces get of the error has no answer."""
    error = BadAnswer("the receiver answered 400 Bad Request", '{"error": "no such customer"}')
    attempt = history_of(error)
    assert attempt.error == ANSWERED
    assert attempt.message == 'the receiver answered 400 Bad Request\n{"error": "no such customer"}'
    assert described(error)[1] == str(error) == "the receiver answered 400 Bad Request"


def test_the_answer_is_masked_as_a_body_is() -> None:
    """Without --reveal the values of an answer are masked; one that is no JSON is shown by its length."""
    attempt = history_of(BadAnswer("the receiver answered 400 Bad Request", '{"error": "Jane Doe"}'))
    assert shown_message(attempt, reveal=False) == 'the receiver answered 400 Bad Request\n{"error": "***"}'
    assert "Jane Doe" in shown_message(attempt, reveal=True)
    text = history_of(BadAnswer("the receiver answered 500 Internal Server Error", "Jane Doe\nis unknown"))
    shown = shown_message(text, reveal=False)
    assert "Jane" not in shown
    assert "unknown" not in shown
    assert "not readable as JSON: 19 bytes" in shown


def test_other_errors_are_shown_as_they_are() -> None:
    """What a handler of Python raised has no answer in it."""
    attempt = history_of(ValueError("a\nb"))
    assert shown_message(attempt, reveal=False) == "a\nb"


def test_an_answer_is_text_without_secrets() -> None:
    """What a receiver repeats of secrets, signatures and headers is taken out; bytes that are no text are escaped."""
    secrets = ("whsec_abcd/efgh", "Bearer topsecret", "short")
    found = answer_text(
        rb"whsec_abcd/efgh, abcd/efgh, abcd\/efgh, Bearer topsecret, topsecret" + b", \xff short", secrets
    )
    assert found == ", ".join(["[taken out]"] * 5) + ", \\xff short"
