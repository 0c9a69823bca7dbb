"""What a failed attempt says of itself."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from workers.delivery import error_line, read_history
from workers.failure import described, fingerprint_of, members_of, text_of, trace_of

KEY, VALUE = KeyError("customer"), ValueError("bad number 17")


def unprintable(error: BaseException) -> BaseException:
    """Return an error whose text cannot be made: asking for it raises another."""

    class Unprintable(Exception):
        def __str__(self) -> str:
            raise error

    return Unprintable()


def raised(error: BaseException) -> BaseException:
    """Return the error with a traceback."""
    with suppress(BaseException):
        raise error
    return error


@pytest.mark.parametrize(
    "error", [AttributeError("x"), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()]
)
def test_an_error_whose_text_cannot_be_made_is_described_all_the_same(error: BaseException) -> None:
    """Whatever `__str__` raises, a request to exit or a cancellation too, is named and goes no further."""
    broken = raised(unprintable(error))
    [attempt] = read_history(error_line(broken, 1, 0.0).encode())
    assert type(error).__qualname__ in text_of(broken)
    assert type(error).__qualname__ in attempt.message
    assert attempt.traceback


def test_an_error_that_was_not_raised_has_no_traceback() -> None:
    """What a handler returned comes from nowhere."""
    assert trace_of(ValueError("x")) == ""


@pytest.mark.parametrize(
    "wrap",
    [
        lambda error: ExceptionGroup("g", [error]),
        lambda error: BaseExceptionGroup("g", [error]),
        lambda error: ExceptionGroup("outer", [ExceptionGroup("inner", [error])]),
        lambda error: ExceptionGroup("g", [error, ExceptionGroup("h", [KeyError("customer")])]),
    ],
    ids=["group", "base group", "nested", "alike"],
)
def test_a_group_of_one_kind_counts_as_that_error(wrap: Callable[[Exception], BaseException]) -> None:
    """One member, however nested, and several that failed alike: class, text and fingerprint are its own."""
    assert described(wrap(KEY)) == described(KEY) == ("KeyError", "'customer'")


def test_a_group_of_several_kinds_is_described_by_them_in_any_order() -> None:
    """The fingerprint depends on which kinds there are, and not on which failed first, how often, or in which group."""

    def fingerprint(*members: Exception) -> str:
        return fingerprint_of(*described(ExceptionGroup("unhandled errors in a TaskGroup", list(members))))

    assert described(ExceptionGroup("g", [VALUE, KEY])) == (
        "ExceptionGroup",
        "KeyError: 'customer'; ValueError: bad number 17",
    )
    same = fingerprint(KEY, VALUE)
    assert fingerprint(VALUE, KEY) == same
    assert fingerprint(ValueError("bad number 18"), ExceptionGroup("h", [KEY, KeyError("supplier")])) == same
    assert fingerprint(KEY, TypeError("other")) != same
    assert fingerprint(KEY) != same


def test_members_are_found_at_any_depth() -> None:
    """Nesting deeper than the stack is high is taken apart like any other."""
    group: ExceptionGroup[Exception] = ExceptionGroup("g", [KEY])
    for _ in range(5_000):
        group = ExceptionGroup("g", [group, VALUE])
    assert members_of(group) == [KEY, *[VALUE] * 5_000]
    assert members_of(KEY) == [KEY]


def test_the_traceback_of_a_group_shows_where_its_members_were_raised() -> None:
    """The history names the member, and its traceback is that of the whole group."""
    [attempt] = read_history(error_line(raised(ExceptionGroup("several", [KEY])), 1, 0.0).encode())
    assert (attempt.error, attempt.message) == ("KeyError", "'customer'")
    assert "several" in attempt.traceback
