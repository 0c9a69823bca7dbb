"""A delivery: as the streams hold it, and as the handler sees it."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from router.events.catalogue import Catalogue
from router.events.fields import UnreadableEvent
from workers.delivery import AttemptError, Held, error_line, read_history

STREAM = "visma-net-financial/customer_changed"
AT = 1_700_000_000.25


def held(**fields: bytes | str) -> Held:
    """Return a delivery with these fields."""
    encoded = {key.encode(): value.encode() if isinstance(value, str) else value for key, value in fields.items()}
    return Held(STREAM, b"1-1", encoded, inbox=False, touched=0.0)


def failure(message: str = "broken") -> ValueError:
    """Return an error that was raised."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011  any message will do
        raise ValueError(message)
    return caught.value


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("7", 7), ("", 0), ("-1", 0), ("1.5", 0), ("1e3", 0), ("x", 0), (" 1", 0), ("9" * 15, 10**15 - 1)],
)
def test_counts_are_read_or_zero(text: str, number: int) -> None:
    """A count that is no number, which only somebody's hand can have written, is none."""
    assert held(attempts=text).attempts == number
    assert held(crashes=text).crashes == number


def test_a_count_of_hostile_length_is_zero() -> None:
    """Digits without end are not read."""
    assert held(attempts="9" * 16, crashes="9" * 100_000).used == 0


def test_failed_and_crashed_attempts_are_both_used() -> None:
    """Attempts that failed and attempts that a worker did not survive count alike."""
    assert held(attempts="2", crashes="1").used == 3
    assert held().used == 0


def test_the_event_is_made_of_the_entrys_own_bytes(catalogue: Catalogue) -> None:
    """The entry's id, time and bytes are the event's."""
    raw = '{"event": "Customer_Changed", "resourceUri": "v1/customer/5"}'
    event = held(id="abc", at="1700000000250", raw=raw).event(catalogue)
    assert (event.id, event.raw, event.stream) == ("abc", raw.encode(), STREAM)
    assert event.received_at == datetime.fromtimestamp(AT, UTC)


def test_hints_go_with_a_delivery_wherever_it_goes(catalogue: Catalogue) -> None:
    """The event has the entry's hints, moving keeps them, and an entry without any is an event without any."""
    delivery = held(id="a", raw='{"event": "customer_changed"}', hints='{"orderref":"17"}')
    assert delivery.event(catalogue).hints == {"orderref": "17"}
    assert b"hints" in delivery.moved("line")
    assert held(id="a", raw='{"event": "customer_changed"}').event(catalogue).hints == {}


def test_a_missing_time_is_the_epoch(catalogue: Catalogue) -> None:
    """An entry without a time is still an event."""
    assert held(id="a", raw='{"event": "x"}').event(catalogue).received_at == datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("fields", [{}, {"id": "a"}, {"raw": "{}"}, {"id": "a", "raw": "{}"}, {"id": "a", "raw": "["}])
def test_what_is_no_event_is_unreadable(catalogue: Catalogue, fields: dict[str, str]) -> None:
    """An entry that no ingress wrote raises the one error that says so."""
    with pytest.raises(UnreadableEvent):
        held(**fields).event(catalogue)


def test_a_time_after_the_year_9999_is_unreadable_or_none(catalogue: Catalogue) -> None:
    """A time that no datetime can hold is no other error than UnreadableEvent."""
    delivery = held(id="a", at="9" * 15, raw='{"event": "x"}')
    with suppress(UnreadableEvent):
        delivery.event(catalogue)


def test_an_id_for_logs_is_always_text() -> None:
    """Logs get the id as text, whatever it is."""
    assert held(id="abc").event_id == "abc"
    assert held(id=b"\xff").event_id == "�"
    assert held().event_id == ""


def test_a_failure_is_one_line_that_reads_back() -> None:
    """What is written of an error is read as it was: when, which attempt, class, message, traceback."""
    line = error_line(failure('with "quotes"\nand lines é'), 2, AT)
    assert "\n" not in line
    [error] = read_history(line.encode())
    assert error == AttemptError(
        datetime.fromtimestamp(AT, UTC), 2, "ValueError", 'with "quotes"\nand lines é', error.traceback
    )
    assert error.at.utcoffset() == timedelta(0)
    assert error.traceback.startswith("Traceback")
    assert "raise ValueError(message)" in error.traceback


def test_an_error_that_was_never_raised_has_no_traceback() -> None:
    """A returned exception has none, and that is no error."""
    assert read_history(error_line(KeyError("x"), 1, AT).encode())[0].traceback == ""


def test_a_long_error_is_cut() -> None:
    """Message and traceback are bounded; of the traceback the end is kept, which says most."""
    [error] = read_history(error_line(failure("x" * 100_000), 1, AT).encode())
    assert len(error.message) == 2000
    assert len(error.traceback) == 8000
    assert error.traceback.endswith("x\n")


def test_a_nested_class_is_named_in_full() -> None:
    """The name tells classes of one name apart."""

    class Inner(Exception):
        pass

    assert json.loads(error_line(Inner(), 1, AT))["error"].endswith("<locals>.Inner")


class Nasty(Exception):
    """An error whose own code fails."""

    def __str__(self) -> str:
        raise AttributeError("no text")


def test_an_error_without_a_text_is_a_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a text nor a traceback that cannot be made keeps a failure from being written down."""
    with pytest.raises(Nasty) as caught:
        raise Nasty
    [error] = read_history(error_line(caught.value, 1, AT).encode())
    assert error.error == "Nasty"
    assert "AttributeError" in error.message

    def failing(_error: BaseException) -> list[str]:
        raise ZeroDivisionError

    monkeypatch.setattr("traceback.format_exception", failing)
    [error] = read_history(error_line(caught.value, 1, AT).encode())
    assert "ZeroDivisionError" in error.traceback


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b"null",
        b"[]",
        b"1",
        b'"text"',
        b"{}",
        b"\xff",
        b'{"at": 5, "attempt": 1, "error": "E", "message": "m"}',
        b'{"at": "yesterday", "attempt": 1, "error": "E", "message": "m"}',
    ],
)
def test_a_line_that_cannot_be_read_is_passed_over(line: bytes) -> None:
    """Lines written by hand do not hide those around them."""
    good = error_line(KeyError("x"), 1, AT).encode()
    assert len(read_history(b"\n".join((good, line, good)))) == 2


def test_a_line_nested_too_deeply_is_passed_over() -> None:
    """A hostile line is one that cannot be read."""
    assert read_history(b"[" * 100_000) == ()


def test_moving_keeps_every_field() -> None:
    """A delivery that is given back is what it was."""
    delivery = held(id="a", raw=b"\xff", custom="x", attempts="1")
    assert delivery.moved() == [b"id", b"a", b"raw", b"\xff", b"custom", b"x", b"attempts", b"1"]


def test_moving_after_a_failure_adds_to_the_story() -> None:
    """One more attempt and one more line; crashes are as they were."""
    moved = held(id="a", attempts="1", crashes="2", history="one").moved("two")
    fields = dict(zip(moved[::2], moved[1::2], strict=True))
    assert fields == {b"id": b"a", b"attempts": 2, b"crashes": b"2", b"history": b"one\ntwo"}


def test_a_long_history_keeps_the_first_and_the_newest() -> None:
    """However often an event fails, its history stays bounded, and how it began is not lost."""
    delivery = held(id="a")
    for number in range(100):
        flat = delivery.moved(f"line {number}")
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        delivery = held(history=fields[b"history"], attempts=str(fields[b"attempts"]))  # type: ignore[arg-type]
    lines = delivery.fields[b"history"].splitlines()
    assert len(lines) == 24
    assert lines[0] == b"line 0"
    assert lines[1] == b"line 77"
    assert lines[-1] == b"line 99"
    assert delivery.attempts == 100


def test_moving_an_entry_with_thousands_of_fields_cuts_it() -> None:
    """A script cannot take them all; what counts the attempts is among those kept."""
    delivery = held(**{f"f{number}": "x" for number in range(3000)})
    moved = delivery.moved("line")
    assert len(moved) == 256
    assert b"attempts" in moved
    assert b"history" in moved


def test_moving_an_empty_entry_gives_it_a_field() -> None:
    """An entry needs a field: one that was deleted while pending is put away all the same."""
    assert held().moved() == [b"raw", b""]
