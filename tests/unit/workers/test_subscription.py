"""Declaring a subscription and its handler."""

import functools
import math
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest

from config.errors import ConfigError
from workers import Delivery, Event, Record, Retry, Subscription
from workers.subscription import inspect_handler

GLOBS = ["visma-net-financial/*"]


def subscription(**options: Any) -> Subscription:
    """Return a subscription."""
    return Subscription(**{"name": "sub", "events": GLOBS, **options})


async def takes_event(event: Event) -> None:
    """Take an event."""


async def takes_anything(event) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Take what is not said."""


async def takes_any(event: Any) -> None:
    """Take anything."""


async def takes_delivery(delivery: "Delivery") -> None:
    """Take a delivery, by a name in quotes."""


async def takes_events(events: list[Event]) -> None:
    """Take a batch."""


async def takes_deliveries(deliveries: Sequence[Delivery]) -> None:
    """Take a batch of deliveries."""


async def takes_list(events: list[Any]) -> None:
    """Take a batch of anything."""


async def takes_more(event: Event, limit: int = 5) -> None:
    """Take more than is given."""


def plain(event: Event) -> None:
    """Run in a thread."""


def plain_batch(deliveries: list[Delivery]) -> None:
    """Run in a thread with a batch."""


class Object:
    """Handlers that are methods, and one that is an object."""

    async def method(self, delivery: Delivery) -> None:
        """Handle."""

    @staticmethod
    def static(event: Event) -> None:
        """Handle."""

    async def __call__(self, events: list[Event]) -> None:
        """Handle."""


class Plain:
    """An object that is a plain handler."""

    def __call__(self, delivery: Delivery) -> None:
        """Handle."""


@functools.wraps(takes_delivery)
async def wrapped(*args: Any, **kwargs: Any) -> None:
    """Wrap a handler."""
    await takes_delivery(*args, **kwargs)


@pytest.mark.parametrize(
    ("function", "is_async", "wants_delivery", "batch"),
    [
        (takes_event, True, False, False),
        (takes_anything, True, False, False),
        (takes_any, True, False, False),
        (takes_delivery, True, True, False),
        (takes_events, True, False, True),
        (takes_deliveries, True, True, True),
        (takes_list, True, False, True),
        (takes_more, True, False, False),
        (plain, False, False, False),
        (plain_batch, False, True, True),
        (lambda event: None, False, False, False),
        (Object().method, True, True, False),
        (Object.static, False, False, False),
        (Object(), True, False, True),
        (Plain(), False, True, False),
        (wrapped, True, True, False),
        (functools.partial(plain), False, False, False),
    ],
)
def test_a_handler_is_called_as_its_annotation_says(
    *, function: Callable[..., Any], is_async: bool, wants_delivery: bool, batch: bool
) -> None:
    """Coroutine or plain, Event or Delivery, one or a list: the function's own signature says it."""
    handler = inspect_handler(function)
    assert (handler.is_async, handler.wants_delivery, handler.batch) == (is_async, wants_delivery, batch)
    assert handler.function is function


def no_parameter() -> None:
    """Take nothing."""


def two_parameters(event: Event, other: str) -> None:
    """Take too much."""


def takes_text(event: str) -> None:
    """Take the wrong thing."""


def takes_texts(events: list[str]) -> None:
    """Take the wrong things."""


def takes_optional(event: Event | None) -> None:
    """Take perhaps."""


def takes_bare_list(events: list) -> None:  # type: ignore[type-arg]
    """Take a list of whatever."""


def takes_unknown(event: "Evnt") -> None:  # type: ignore[name-defined]  # noqa: F821
    """Take what is not there."""


@pytest.mark.parametrize(
    "function",
    [
        no_parameter,
        two_parameters,
        takes_text,
        takes_texts,
        takes_optional,
        takes_bare_list,
        takes_unknown,
        42,
        "handler",
        None,
    ],
)
def test_a_function_that_is_no_handler_is_refused(function: Any) -> None:
    """What cannot be called with an event is refused when it is decorated, and the message names it."""
    with pytest.raises(ConfigError, match="handler") as caught:
        subscription().handler(function)
    assert getattr(function, "__name__", repr(function)) in str(caught.value)


async def stream_of(event: Event) -> AsyncIterator[int]:
    """Yield."""
    yield 1


def generator(event: Event) -> Iterator[int]:
    """Yield."""
    yield 1


@pytest.mark.parametrize("function", [stream_of, generator])
def test_a_generator_is_no_handler(function: Callable[..., Any]) -> None:
    """Calling a generator function runs nothing of it, so every event would be lost and look handled."""
    with pytest.raises(ConfigError):
        inspect_handler(function)


def test_a_partial_of_a_coroutine_function_is_async() -> None:
    """`functools.partial(handler, client=…)` is as asynchronous, and wants the same, as what it is made of."""

    async def handler(delivery: Delivery, client: str) -> None:
        pass

    found = inspect_handler(functools.partial(handler, client="x"))
    assert (found.is_async, found.wants_delivery) == (True, True)


def test_a_handler_must_take_its_argument_by_position() -> None:
    """A keyword-only parameter cannot be given an event."""

    async def handler(*, event: Event) -> None:
        pass

    with pytest.raises(ConfigError):
        inspect_handler(handler)


def test_the_decorator_returns_the_function() -> None:
    """A decorated function stays what it was, to be called and tested."""
    sub = subscription()
    assert sub.handler(plain) is plain
    assert sub.handled_by.function is plain


def test_a_subscription_has_one_handler() -> None:
    """A second handler is a mistake, and so is none."""
    sub = subscription()
    with pytest.raises(ConfigError, match="no handler"):
        _ = sub.handled_by
    sub.handler(plain)
    with pytest.raises(ConfigError, match="already"):
        sub.handler(takes_event)
    assert sub.handled_by.function is plain


@pytest.mark.parametrize("name", ["a", "customer-sync", "Sub.1_x", "9", "a" * 100])
def test_names_that_are_allowed(name: str) -> None:
    """Letters, digits, dots, underscores and hyphens."""
    assert subscription(name=name).name == name


@pytest.mark.parametrize(
    "options",
    [
        {"name": ""},
        {"name": "-a"},
        {"name": "a b"},
        {"name": "a:b"},
        {"name": "a{b}"},
        {"name": "a/b"},
        {"name": "a\n"},
        {"name": "å"},
        {"name": "a" * 101},
        {"events": []},
        {"events": ""},
        {"events": ["a/*", ""]},
        {"start": "first"},
        {"concurrency": 0},
        {"concurrency": -1},
        {"batch_size": 0},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": math.nan},
        {"batch_wait": -0.1},
        {"defer_max": 0},
        {"defer_max": -1},
        {"defer_max": math.inf},
        {"defer_max": math.nan},
        {"batch_wait": math.nan},
        {"coalesce": 5},
        {"per_company": 0},
        {"per_company": "4"},
        {"concurrency": "3"},
        {"concurrency": 1.5},
        {"batch_size": True},
        {"timeout": "5"},
        {"defer_max": "1"},
        {"batch_wait": "1"},
    ],
    ids=str,
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    """Each is found when the subscription is made, and the message says which and what is allowed."""
    with pytest.raises(ConfigError) as caught:
        subscription(**options)
    [(key, value)] = options.items()
    assert key in str(caught.value) or repr(value) in str(caught.value)


class AsyncKey:
    """An object whose call has to be awaited."""

    async def __call__(self, event: Event) -> str:
        """Return a key."""
        return event.id


async def async_key(event: Event) -> str:
    """Return a key."""
    return event.id


def generated_key(event: Event) -> Iterator[str]:
    """Yield a key."""
    yield event.id


@pytest.mark.parametrize("key", [async_key, functools.partial(async_key), AsyncKey(), generated_key])
def test_a_key_function_that_returns_no_text_at_once_is_refused(key: Any) -> None:
    """A coroutine function or a generator as key is found when the subscription is made, not by each event."""
    with pytest.raises(ConfigError, match="returns a str or None at once"):
        subscription(key=key)


def test_the_defaults() -> None:
    """A subscription needs a name and events; one glob may be a plain text."""
    sub = Subscription("sub", events="a/*")
    assert sub.events == ("a/*",)
    assert (sub.retry, sub.concurrency, sub.timeout, sub.start) == (Retry(), 32, 30.0, "earliest")
    assert (sub.batch_size, sub.batch_wait) == (100, 0.0)
    assert subscription(timeout=None).timeout is None
    assert repr(sub) == "Subscription('sub', events=['a/*'])"


@pytest.mark.parametrize("function", [generator, lambda one, two: None])
def test_a_wrong_handler_is_named_with_its_place(function: Callable[..., Any]) -> None:
    """The message says which function of which module it is, and the file and the line to open."""
    line = function.__code__.co_firstlineno
    with pytest.raises(ConfigError) as caught:
        subscription().handler(function)
    assert f"handler {__name__}.{function.__qualname__} ({__file__}:{line})" in str(caught.value)
    with pytest.raises(ConfigError, match="<built-in"):
        subscription().handler(isinstance)


async def takes_record(event: Event, record: Record) -> None:
    """Take an event and its record."""


def plain_record(delivery: Delivery, record: "Record", limit: int = 5) -> None:
    """Take a delivery and its record, in a thread."""


async def takes_unsaid(event, record) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Take what is not said."""


async def takes_all(*arguments: Any) -> None:
    """Take any number."""


async def takes_wrong(event: Event, record: dict[str, Any]) -> None:
    """Take something else than a record."""


async def takes_three(event: Event, record: Record, more: int) -> None:
    """Take one more."""


async def takes_by_name(event: Event, *, record: Record) -> None:
    """Take the record by its name."""


async def takes_batch(events: list[Event], record: Record) -> None:
    """Take a batch."""


@pytest.mark.parametrize(
    ("function", "is_async", "wants_delivery"),
    [
        (takes_record, True, False),
        (plain_record, False, True),
        (takes_unsaid, True, False),
        (takes_all, True, False),
        (lambda event, record: None, False, False),
        (functools.partial(takes_record), True, False),
    ],
)
def test_a_handler_with_a_record(*, function: Callable[..., Any], is_async: bool, wants_delivery: bool) -> None:
    """With hydrate a handler takes the record as its second argument, beside an event or a delivery."""
    handler = inspect_handler(function, hydrate=True)
    assert (handler.is_async, handler.wants_delivery, handler.batch) == (is_async, wants_delivery, False)
    assert handler.wants_record


@pytest.mark.parametrize("function", [takes_event, takes_wrong, takes_three, takes_by_name, takes_batch, takes_events])
def test_a_handler_that_cannot_get_its_record(function: Callable[..., Any]) -> None:
    """A handler that cannot take a record, or takes a batch, is refused where it is defined, by what it may take."""
    with pytest.raises(ConfigError, match=r"hydrate=True"):
        subscription(hydrate=True).handler(function)


def test_a_record_that_nobody_fetches() -> None:
    """A handler that takes a record without hydrate is refused, with what to set."""
    with pytest.raises(ConfigError, match="to get a Record as the second, set hydrate=True"):
        subscription().handler(takes_record)
