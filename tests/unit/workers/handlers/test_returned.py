"""What a handler may return, and what comes of anything else."""

from collections import UserList, deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from workers.handlers.returned import BadReturn, outcomes_of
from workers.outcomes import DeadLetter, RetryLater

ERROR = ValueError("second")


async def coroutine() -> None:
    """Do nothing."""


async def stream() -> AsyncIterator[None]:
    """Yield nothing of interest."""
    yield None


BAD: dict[str, Callable[[], Any]] = {
    "True": lambda: True,
    "0": lambda: 0,
    "str": lambda: "done",
    "bytes": lambda: b"",
    "dict": dict,
    "set": set,
    "generator": lambda: (None for _ in range(2)),
    "async generator": stream,
    "coroutine": coroutine,
    "function": lambda: coroutine,
    "class": lambda: dict,
    "iterator": lambda: iter([None, None]),
    "response": object,
}


@pytest.mark.parametrize("made", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("batch", [False, True])
def test_what_is_no_outcome_fails_the_attempt(made: Callable[[], Any], *, batch: bool) -> None:
    """Nobody can tell what the handler wanted to say: all its events are tried again, and the message says why."""
    count = 2 if batch else 1
    results = outcomes_of(made(), count, batch=batch)
    assert [type(result) for result in results] == [BadReturn] * count
    assert "return None when" in str(results[0])
    assert "RetryLater(seconds)" in str(results[0])


@pytest.mark.parametrize("kind", [list, tuple, deque, UserList])
def test_any_sequence_of_outcomes_is_the_result_of_a_batch(kind: Callable[[list[Any]], Any]) -> None:
    """Outcomes belong to events by position; a class stands for an instance."""
    results = outcomes_of(kind([None, ERROR, DeadLetter, TimeoutError]), 4, batch=True)
    assert results[:2] == [None, ERROR]
    assert [type(result) for result in results[2:]] == [DeadLetter, TimeoutError]


@pytest.mark.parametrize("results", [[], [None], (None, None, None)])
def test_a_batch_with_the_wrong_number_of_results_fails(results: Any) -> None:
    """Nobody can tell which outcome is whose, so all are tried again."""
    assert str(outcomes_of(results, 2, batch=True)[0]) == f"a batch of 2 got {len(results)} results"


class Endless(Sequence[None]):
    """Says that it has two, and yields for ever."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: Any) -> Any:
        return None


@pytest.mark.parametrize("results", [range(10**12), Endless()], ids=["range", "endless"])
def test_no_sequence_is_read_further_than_the_batch_is_long(results: Any) -> None:
    """What a handler returns by mistake can neither take all memory nor hold up the event loop."""
    assert [type(result) for result in outcomes_of(results, 2, batch=True)] == [BadReturn] * 2


@pytest.mark.parametrize("made", BAD.values(), ids=BAD.keys())
def test_one_result_that_is_no_outcome_fails_the_batch(made: Callable[[], Any]) -> None:
    """A sequence is one of outcomes as a whole or not at all."""
    assert [type(result) for result in outcomes_of([None, made()], 2, batch=True)] == [BadReturn] * 2


@pytest.mark.parametrize("batch", [False, True])
def test_one_outcome_is_that_of_all(*, batch: bool) -> None:
    """Returning an error is as good as raising it, for one event and for a batch; None is done."""
    assert outcomes_of(None, 2, batch=batch) == [None, None]
    assert outcomes_of(ERROR, 2, batch=batch) == [ERROR, ERROR]
    assert [type(result) for result in outcomes_of(DeadLetter, 2, batch=batch)] == [DeadLetter] * 2


def test_a_sequence_is_no_outcome_of_a_single_event() -> None:
    """A handler of one event has one outcome to return."""
    for value in ([], [None], (DeadLetter("x"),)):
        assert [type(result) for result in outcomes_of(value, 1, batch=False)] == [BadReturn]


def test_a_class_that_takes_arguments_is_asked_for_as_an_instance() -> None:
    """`return RetryLater` cannot say when: the message says what to return."""
    [result] = outcomes_of(RetryLater, 1, batch=False)
    assert isinstance(result, BadReturn)
    assert "the class RetryLater" in str(result)
    assert "instance" in str(result)


def test_values_are_not_repeated() -> None:
    """What a handler returns may be somebody's data: the message has its type, and only numbers and truths as such."""
    assert "secret" not in str(outcomes_of("secret", 1, batch=False)[0])
    assert "returned a str:" in str(outcomes_of("secret", 1, batch=False)[0])
    assert "returned True:" in str(outcomes_of(True, 1, batch=False)[0])
