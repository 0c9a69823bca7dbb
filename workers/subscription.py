"""A subscription: a name, the events it wants, and the function that handles them."""

import functools
import inspect
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from config.errors import ConfigError
from router.events.event import Event
from workers.coalesce import Coalesce
from workers.delivery import Delivery
from workers.made import note
from workers.record import Record
from workers.retry import Retry
from workers.where import Where

__all__ = ["Handler", "Subscription"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

_KEYWORD_KINDS = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)

Function = typing.TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Handler:
    """A user's function and how it wants to be called."""

    function: Callable[..., Any]
    is_async: bool
    wants_delivery: bool
    batch: bool
    wants_record: bool = False


class Subscription:
    """A named consumer group over one or more streams, with one handler.

    name: letters, digits, `.`, `_` and `-`; workers of the same name share the events between them.
    events: globs over `publisher/type`, such as `visma-net-financial/customer_*`.
    retry: when a failed event is tried again, and how often.
    concurrency: how many events (or batches) are handled at once in one worker process; without a `key` two of one
        resource may overlap.
    timeout: seconds an attempt may take; None for no limit. A plain function runs in a thread, which cannot be
        stopped: it counts as failed after the timeout and is left to end by itself.
    start: where a new subscription begins: `earliest` takes what is in the streams already, `latest` only what comes.
    batch_size, batch_wait: for a handler of `list[Event]`: the most events of one call, and the seconds it may wait
        for more. An event that failed before is always handled alone.
    key: by what events are kept in order, one at a time over all workers: `resource` (tenant, company and resource),
        `company` (tenant and company), or a function of the event that returns a text; None for an event of no order.
    coalesce: which events of a key are merged into a later one; needs a key.
    after_dead: what a key does whose event ended dead: `continue`, or `hold` until an operator releases it.
    per_company: how many handlers may run at once for one company, over all workers; None for any number.
    hydrate: whether the record that an event is about is fetched from the ERP at the start of each attempt: the handler
        takes it as its second argument, a `Record`.
    echo: `drop`: an event whose record holds nothing new but writes of ours is done without the handler; needs hydrate.
    feedback: whether the ERP's users see what became of each notification: done, or dead and why.
    fair_by: whether companies take turns, where there is a key or a limit: `company`, or None.
    defer_max: seconds for which an event may be deferred (`Defer`), counted from the first time; then it is dead.
    where: which of the events are handled, by their fields, as `Where` says; the others are skipped: done at once.
    """

    def __init__(
        self,
        name: str,
        *,
        events: Sequence[str],
        retry: Retry | None = None,
        concurrency: int = 32,
        timeout: float | None = 30.0,
        start: Literal["earliest", "latest"] = "earliest",
        batch_size: int = 100,
        batch_wait: float = 0.0,
        key: Literal["resource", "company"] | Callable[[Event], str | None] | None = None,
        coalesce: Coalesce | None = None,
        after_dead: Literal["continue", "hold"] = "continue",
        per_company: int | None = None,
        fair_by: Literal["company"] | None = "company",
        defer_max: float = 259_200.0,
        hydrate: bool = False,
        feedback: bool = False,
        echo: Literal["drop"] | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.events = (events,) if isinstance(events, str) else tuple(events)
        self.retry = retry or Retry()
        self.concurrency = concurrency
        self.timeout = timeout
        self.start = start
        self.batch_size = batch_size
        self.batch_wait = batch_wait
        self.key = key
        self.coalesce = coalesce
        self.after_dead = after_dead
        self.per_company = per_company
        self.fair_by = fair_by
        self.defer_max = defer_max
        self.hydrate = hydrate
        self.feedback = feedback
        self.echo = echo
        self._handler: Handler | None = None
        self._validate()
        self.where = self._filter(where)
        self._validate_order()
        self._validate_echo()
        note(self)

    def __repr__(self) -> str:
        return f"Subscription({self.name!r}, events={list(self.events)!r})"

    def handler(self, function: Function) -> Function:
        """Make the decorated function the handler of this subscription, and return it unchanged.

        It may be a coroutine function or a plain one (run in a thread), and take an `Event` (the default), a
        `Delivery`, or a `list` of either (a batch), as its annotation says; with `hydrate` a `Record` besides.
        """
        if self._handler is not None:
            raise ConfigError(f"subscription {self.name!r} has a handler already: {_named(self._handler.function)}")
        self._handler = inspect_handler(function, hydrate=self.hydrate)
        return function

    @property
    def handled_by(self) -> Handler:
        """The handler; raises ConfigError where there is none yet."""
        if self._handler is None:
            raise ConfigError(f"subscription {self.name!r} has no handler: decorate a function with its .handler")
        return self._handler

    @property
    def keyed(self) -> bool:
        """Whether its events go through lines, which keep them in order, or are fair to companies."""
        return self.key is not None or self.per_company is not None

    def _validate_order(self) -> None:
        if not (self.key in ("resource", "company", None) or callable(self.key)):
            raise ConfigError(
                f"subscription {self.name!r}: key is 'resource', 'company' or a function of the event, not {self.key!r}"
            )
        if callable(self.key) and _is_deferred(self.key):
            raise ConfigError(
                f"subscription {self.name!r}: the key function {_named(self.key)} is async or a generator:"
                " use a plain function, which returns a str or None at once"
            )
        if self.after_dead not in ("continue", "hold"):
            raise ConfigError(
                f"subscription {self.name!r}: after_dead is 'continue' or 'hold', not {self.after_dead!r}"
            )
        if not isinstance(self.coalesce, Coalesce | None):
            raise ConfigError(
                f"subscription {self.name!r}: coalesce takes Coalesce(quiet=…, within=…) or None, not {self.coalesce!r}"
            )
        if self.key is None and (self.coalesce is not None or self.after_dead == "hold"):
            raise ConfigError(f"subscription {self.name!r}: coalesce and after_dead='hold' need a key")
        if self.per_company is not None and not _is_count(self.per_company):
            raise ConfigError(
                f"subscription {self.name!r}: per_company is a number from 1, or None, not {self.per_company!r}"
            )
        if self.fair_by not in ("company", None):
            raise ConfigError(f"subscription {self.name!r}: fair_by is 'company' or None, not {self.fair_by!r}")
        if self.per_company is not None and self.fair_by is None:
            raise ConfigError(f"subscription {self.name!r}: per_company needs fair_by='company'")

    def _filter(self, where: Mapping[str, Any] | None) -> Where | None:
        try:
            return Where(where) if where or not isinstance(where, Mapping | None) else None
        except ConfigError as error:
            raise ConfigError(f"subscription {self.name!r}: {error}") from None

    def _validate_echo(self) -> None:
        if self.echo not in ("drop", None):
            raise ConfigError(f"subscription {self.name!r}: echo is 'drop' or None, not {self.echo!r}")
        if self.echo is not None and not self.hydrate:
            raise ConfigError(f"subscription {self.name!r}: echo='drop' needs hydrate=True: its record tells an echo")

    def _validate(self) -> None:
        if not _NAME.fullmatch(str(self.name)):
            raise ConfigError(f"{self.name!r} is no subscription name: use letters, digits, '.', '_' and '-'")
        if not self.events or not all(self.events):
            raise ConfigError(f"subscription {self.name!r}: events is a list of globs such as 'visma-net-financial/*'")
        if self.start not in ("earliest", "latest"):
            raise ConfigError(f"subscription {self.name!r}: start is 'earliest' or 'latest', not {self.start!r}")
        numbers = {"concurrency": self.concurrency, "batch_size": self.batch_size}
        for field, number in numbers.items():
            if not _is_count(number):
                raise ConfigError(f"subscription {self.name!r}: {field} is a number from 1, not {number!r}")
        if self.timeout is not None and not (_is_number(self.timeout) and self.timeout > 0):
            raise ConfigError(f"subscription {self.name!r}: timeout is in seconds, or None, not {self.timeout!r}")
        if not (_is_number(self.defer_max) and 0 < self.defer_max < float("inf")):
            raise ConfigError(f"subscription {self.name!r}: defer_max is in seconds, not {self.defer_max!r}")
        if not (_is_number(self.batch_wait) and self.batch_wait >= 0):
            raise ConfigError(f"subscription {self.name!r}: batch_wait is in seconds, not {self.batch_wait!r}")


def inspect_handler(function: Callable[..., Any], *, hydrate: bool = False) -> Handler:
    """Return how a function wants to be called; raises ConfigError where its parameters do not say it."""
    target = _target(function)
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        raise ConfigError(f"handler {_named(function)} is a generator and would never run: return instead of yield")
    name, *others = _parameters(function, 2 if hydrate else 1)
    wanted = _annotation(function, target, name)
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    batch = origin in (list, Sequence)
    item = arguments[0] if batch else wanted
    if item not in (Event, Delivery, inspect.Parameter.empty, Any):
        raise ConfigError(f"handler {_named(function)} takes an Event, a Delivery or a list of them, not {wanted!r}")
    if hydrate and batch:
        raise ConfigError(f"handler {_named(function)} takes a batch: with hydrate=True take one event and its record")
    if any(_annotation(function, target, other) not in (Record, inspect.Parameter.empty, Any) for other in others):
        raise ConfigError(f"handler {_named(function)} takes {_TAKES[2]}")
    is_async = inspect.iscoroutinefunction(target)
    return Handler(function, is_async, wants_delivery=item is Delivery, batch=batch, wants_record=hydrate)


def _named(function: Callable[..., Any]) -> str:
    """Return the name of a function and where it is, as an editor opens it."""
    target = _target(function)
    code = getattr(inspect.unwrap(target), "__code__", None)
    if code is None:
        return repr(function)
    stem = Path(code.co_filename).stem  # a module that was loaded as a file has another name than its author knows
    module = target.__module__ if target.__module__.rpartition(".")[2] == stem else stem
    return f"{module}.{target.__qualname__} ({code.co_filename}:{code.co_firstlineno})"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return _is_number(value) and isinstance(value, int) and value > 0


def _is_deferred(function: Callable[..., Any]) -> bool:
    """Return whether what a function returns is a coroutine or a generator."""
    target = _target(function)
    kinds = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    return any(is_kind(target) for is_kind in kinds)


def _target(function: Callable[..., Any]) -> Any:
    """Return the function that is run in the end: behind partials, or the `__call__` of an object."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if inspect.isroutine(function) else type(function).__call__


def _parameters(function: Callable[..., Any], number: int) -> list[str]:
    """Return the names of the parameters that get the event and, where there are two, its record."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{_named(function)} is no handler: {error}") from None
    required = [parameter for parameter in parameters if parameter.default is inspect.Parameter.empty]
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    required = [parameter for parameter in required if parameter.kind not in variadic]
    given = _given(parameters, number)
    if len(given) < number or any(parameter not in given for parameter in required):
        hint = "; to get a Record as the second, set hydrate=True" if number == 1 and len(required) > 1 else ""
        raise ConfigError(f"handler {_named(function)} takes {_TAKES[number]}{hint}")
    return [parameter.name for parameter in given]


def _given(parameters: Sequence[inspect.Parameter], number: int) -> Sequence[inspect.Parameter]:
    """Return which parameters get the first arguments of a call; `*args` gets any number of them."""
    by_place = [parameter for parameter in parameters if parameter.kind not in _KEYWORD_KINDS]
    variadic = bool(by_place) and by_place[-1].kind is inspect.Parameter.VAR_POSITIONAL
    return [*by_place, *(by_place[-1:] * number if variadic else [])][:number]


_TAKES = {
    1: "one argument: an Event, a Delivery or a list of them",
    2: "two arguments with hydrate=True: an Event or a Delivery, and a Record",
}


def _annotation(function: Callable[..., Any], target: Any, name: str) -> Any:
    try:
        hints = typing.get_type_hints(target)
    except Exception as error:
        raise ConfigError(f"the annotations of handler {_named(function)} cannot be read: {error}") from error
    return hints.get(name, inspect.Parameter.empty)
