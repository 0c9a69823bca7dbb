"""What tells the ways apart in which the keys of a subscription's events are made."""

import functools
import marshal
from collections.abc import Callable, Iterable
from hashlib import blake2b
from types import CodeType, FunctionType
from typing import Any, Final

_VERSION = 2
"""Of marshal: later ones write the same code in several ways."""
_PLAIN: Final = frozenset({type(None), bool, int, float, complex, str, bytes})
"""What has the same text in each process."""


def fingerprint(key: str | Callable[..., Any] | None) -> str:
    """Return `resource`, `company`, `none`, or a function's name and a digest of its code; the same in each process.

    The code of what a function calls is not in it: an attribute `version` of the function says that this has changed.
    Of the values that it has with it, plain ones are, and other functions; of others, only their type.
    """
    if key is None or isinstance(key, str):
        return key or "none"
    parts = _Parts().of(key)
    parts.append(repr(getattr(key, "version", "")).encode(errors="backslashreplace"))
    return f"{_name(key)}:{blake2b(b'/'.join(parts), digest_size=8).hexdigest()}"


class _Parts:
    """What a function consists of, each function once: one may have itself with it."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def of(self, function: Callable[..., Any]) -> list[bytes]:
        if id(function) in self._seen:
            return []
        self._seen.add(id(function))
        if isinstance(function, functools.partial):
            given = (*function.args, *sorted(function.keywords.items()))
            return [*self.of(function.func), self._text(given, is_fixed=True)]
        code = getattr(function, "__code__", None)
        wrapped = getattr(function, "__wrapped__", None)
        if code is None and callable(wrapped):  # as functools.lru_cache makes it
            return self.of(wrapped)
        return [_bare(code or getattr(type(function).__call__, "__code__", None)), self._with_it(function)]

    def _with_it(self, function: Callable[..., Any]) -> bytes:
        """Return the values that a function has with it: its defaults, and what it took from around it."""
        defaults = getattr(function, "__defaults__", None) or ()
        named = sorted((getattr(function, "__kwdefaults__", None) or {}).items())
        cells = map(_content, getattr(function, "__closure__", None) or ())
        return self._text((tuple(defaults), tuple(named), tuple(cells)))

    def _text(self, value: object, *, is_fixed: bool = False) -> bytes:
        """Return a text of a value; of one that may be filled as the function runs only if it `is_fixed`."""
        if type(value) in _PLAIN:
            return repr(value).encode(errors="backslashreplace")
        if isinstance(value, FunctionType | functools.partial):
            return b"/".join(self.of(value))
        if isinstance(value, tuple) or (is_fixed and isinstance(value, list)):
            return self._row(value, is_fixed=is_fixed)
        if isinstance(value, frozenset) or (is_fixed and isinstance(value, set)):
            return b"{%b}" % b",".join(sorted(self._text(part, is_fixed=is_fixed) for part in value))
        if is_fixed and isinstance(value, dict):
            return self._row(value.items(), is_fixed=is_fixed)
        return type(value).__qualname__.encode(errors="backslashreplace")

    def _row(self, values: Iterable[object], *, is_fixed: bool) -> bytes:
        return b"(%b)" % b",".join(self._text(part, is_fixed=is_fixed) for part in values)


def _content(cell: Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty yet
        return None


def _bare(code: CodeType | None) -> bytes:
    return marshal.dumps(_without_place(code), _VERSION) if code else b""


def _without_place(code: CodeType) -> CodeType:
    """Return code without the file and the lines that it stands in, and without its documentation's place."""
    constants = tuple(_without_place(part) if isinstance(part, CodeType) else part for part in code.co_consts)
    return code.replace(co_consts=constants, co_filename="", co_firstlineno=1, co_linetable=b"")


def _name(function: Callable[..., Any]) -> str:
    named = function.func if isinstance(function, functools.partial) else function
    return str(getattr(named, "__qualname__", type(named).__qualname__))
