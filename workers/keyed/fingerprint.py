"""What tells the ways apart in which the keys of a subscription's events are made."""

import functools
import marshal
from collections.abc import Callable
from hashlib import blake2b
from types import CodeType
from typing import Any

_VERSION = 2
"""Of marshal: later ones write the same code in several ways."""


def fingerprint(key: str | Callable[..., Any] | None) -> str:
    """Return `resource`, `company`, `none`, or a function's name and a digest of its code.

    The code of what a function calls is not in it: an attribute `version` of the function says that this has changed.
    """
    if key is None or isinstance(key, str):
        return key or "none"
    parts = [*_parts(key), repr(getattr(key, "version", "")).encode(errors="backslashreplace")]
    return f"{_name(key)}:{blake2b(b'/'.join(parts), digest_size=8).hexdigest()}"


def _parts(function: Callable[..., Any]) -> list[bytes]:
    if isinstance(function, functools.partial):
        return [*_parts(function.func), _text((function.args, sorted(function.keywords.items())))]
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    defaults = (getattr(function, "__defaults__", None), getattr(function, "__kwdefaults__", None))
    return [_bare(code) if code else b"", _text(defaults)]


def _bare(code: CodeType) -> bytes:
    return marshal.dumps(_without_place(code), _VERSION)


def _without_place(code: CodeType) -> CodeType:
    """Return code without the file and the lines that it stands in, and without its documentation's place."""
    constants = tuple(_without_place(part) if isinstance(part, CodeType) else part for part in code.co_consts)
    return code.replace(co_consts=constants, co_filename="", co_firstlineno=1, co_linetable=b"")


def _text(value: object) -> bytes:
    return repr(value).encode(errors="backslashreplace")


def _name(function: Callable[..., Any]) -> str:
    named = function.func if isinstance(function, functools.partial) else function
    return str(getattr(named, "__qualname__", type(named).__qualname__))
