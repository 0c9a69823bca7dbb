"""What a handler returned, as the outcome of each delivery: None where it is done, or else an error."""

import inspect
from collections.abc import Sequence
from itertools import islice
from typing import Any

from config.errors import RouterError

_SHOWN = (bool, int, float)
"""What is shown as it is; of everything else the type, since the value may hold what belongs in no log."""
_ADVICE = "return None when {done}, RetryLater(seconds), Defer(seconds) or DeadLetter(reason)"
_EACH = ", or a list with one of these for each event"


class BadReturn(RouterError):
    """A handler returned what is no outcome, or a batch handler not one outcome for each event."""


def outcomes_of(result: Any, count: int, *, batch: bool) -> list[BaseException | None]:
    """Return the outcomes of `count` deliveries whose handler returned `result`.

    An outcome is None, an exception, or the class of one. It is that of all; a batch handler may return a sequence with
    one for each instead. Anything else is a BadReturn for all.
    """
    if result is None:
        return [None] * count
    try:
        if batch and isinstance(result, Sequence) and not isinstance(result, str | bytes | bytearray | memoryview):
            return _each(result, count)
        return [_outcome(result, batch=batch)] * count
    except BadReturn as error:
        return [error] * count


def _each(results: Sequence[Any], count: int) -> list[BaseException | None]:
    if len(results) != count:
        raise BadReturn(f"a batch of {count} got {len(results)} results")
    taken = list(islice(results, count + 1))  # no more, whatever a class of its own yields
    if len(taken) != count:
        raise BadReturn(f"a batch of {count} got a sequence that says it has {count} results, and has not")
    return [_outcome(result, batch=True) for result in taken]


def _outcome(result: Any, *, batch: bool) -> BaseException | None:
    if result is None or isinstance(result, BaseException):
        return result
    if inspect.isclass(result) and issubclass(result, BaseException):
        return _made(result)
    if inspect.iscoroutine(result):
        result.close()  # so that it is reported here, and not as one that was never awaited
    advice = _ADVICE.format(done="all events are done" if batch else "the event is done")
    raise BadReturn(f"the handler returned {_shown(result)}: {advice}{_EACH if batch else ''}")


def _made(error: type[BaseException]) -> BaseException:
    try:
        made = error()
    except Exception as failure:
        raise BadReturn(
            f"the handler returned the class {error.__qualname__}, which takes arguments: return an instance"
        ) from failure
    if not isinstance(made, BaseException):
        raise BadReturn(f"the handler returned the class {error.__qualname__}, which makes no exceptions")
    return made


def _shown(result: Any) -> str:
    kind = type(result)
    if kind in _SHOWN:
        return repr(result)
    if inspect.isclass(result):
        return f"the class {result.__qualname__}"
    name = kind.__qualname__
    return f"{'an' if name[:1] in 'aeiouAEIOU' else 'a'} {name}"
