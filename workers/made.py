"""Which subscriptions are made while modules are imported, and by which of them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, TypeVar

__all__ = ["Made", "collected", "note"]

T = TypeVar("T")


class Made(NamedTuple, Generic[T]):
    """A subscription, and the modules whose import was under way: the one that made it, who imports that, and so on."""

    subscription: T
    importing: tuple[str, ...]


_collections = list[list[Made[Any]]]()


@contextmanager
def collected() -> Iterator[list[Made[Any]]]:
    """Yield a list of all subscriptions that are made meanwhile, in order."""
    made: list[Made[Any]] = []
    _collections.append(made)
    try:
        yield made
    finally:
        _collections[:] = [one for one in _collections if one is not made]


def note(subscription: object) -> None:
    """Take note of a subscription that has just been made."""
    if _collections:
        made = Made(subscription, tuple(_importing()))
        for collection in _collections:
            collection.append(made)


def _importing() -> Iterator[str]:
    frame = sys._getframe(1)  # noqa: SLF001 - `inspect` reads source files for the same
    while frame := frame.f_back:  # type: ignore[assignment]
        if frame.f_code.co_name == "<module>":
            yield str(frame.f_globals.get("__name__"))
