"""The subscriptions that a module holds: in its variables, and in whatever collections and objects are in those."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MemberDescriptorType, ModuleType

from workers.subscription import Subscription

_COLLECTIONS = (list, tuple, set, frozenset, deque)
_own: Callable[[object], Mapping[str, object]] = type.__dict__["__dict__"].__get__
_bases: Callable[[object], tuple[type, ...]] = type.__dict__["__mro__"].__get__
"""What a class has, and its bases, asked past its metaclass."""


def held_by(module: ModuleType, is_users: Callable[[str], bool]) -> Iterator[Subscription]:
    """Yield the subscriptions that a module's variables lead to, each once, in order.

    Only objects of the user's own classes are looked into, those of modules of which `is_users` says so by name: what
    a library's objects lead to is endless.
    """
    seen = set[int]()
    waiting = [iter(tuple(getattr(module, "__dict__", {}).values()))]
    while waiting:
        for value in waiting[-1]:
            if id(value) in seen:
                continue
            seen.add(id(value))
            if issubclass(type(value), Subscription):  # `isinstance` would ask the value for its class
                yield value
            else:
                waiting.append(iter(tuple(_within(value, is_users))))
                break
        else:
            waiting.pop()


def _within(value: object, is_users: Callable[[str], bool]) -> Iterable[object]:
    """Return what a value consists of, without running any code of its class."""
    kind = type(value)
    if issubclass(kind, dict):
        return (*dict.keys(value), *dict.values(value))  # type: ignore[arg-type]
    for collection in _COLLECTIONS:
        if issubclass(kind, collection):
            return collection.__iter__(value)  # type: ignore[arg-type]
    owner = value if issubclass(kind, type) else kind
    if issubclass(kind, ModuleType) or not is_users(str(_own(owner).get("__module__"))):
        return ()
    return _attributes(value)


def _attributes(value: object) -> Iterator[object]:
    if issubclass(type(value), type):
        yield from tuple(_own(value).values())
        return
    with contextlib.suppress(AttributeError):  # where it has slots alone
        yield from tuple(dict.values(object.__getattribute__(value, "__dict__")))
    for kind in _bases(type(value)):
        for slot in _own(kind).values():
            if type(slot) is MemberDescriptorType:
                try:
                    yield slot.__get__(value)
                except AttributeError:
                    continue
