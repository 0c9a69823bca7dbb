"""A filter: which events a subscription handles, as conditions on the fields of the event. Values, no code."""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from difflib import get_close_matches
from fnmatch import translate
from typing import Any, Final

from config.errors import ConfigError
from router.events.event import Event
from router.events.globs import is_glob

__all__ = ["Where"]

Texts = Sequence[str | None]
"""A field's value as it is compared: the texts of a list, of anything else its own; None for no value."""
Test = Callable[[Texts], bool]

_NOT: Final = "not"
_EXTRA: Final = "extra"
_FIELDS: Final = tuple(name for name in Event.model_fields if name not in (_EXTRA, "hints", "raw"))
_NAMES: Final = f"there are {', '.join(_FIELDS)}, and {_EXTRA}.NAME for what else a notification has"
_SHAPES: Final = 'a text, a number, a boolean or None, a list of which any may match, or {"not": …} of one of these'
_WHOLE: Final = 2.0**53
"""Up to here a float holds every integer."""


class Where:
    """Conditions by the names of fields, all of which an event has to meet.

    A condition is a value that the field equals, a glob (`cust*`) that its text matches, a list of conditions any of
    which is enough, or `{"not": condition}`. Values are compared as texts, and case matters: 51 is "51", True is
    "true". None is a field without a value, and every value matches "*". Of a list in `extra` any item may match.

    Raises ConfigError for a name that no event has, and for what is no condition.
    """

    def __init__(self, conditions: Mapping[str, Any]) -> None:
        if not isinstance(conditions, Mapping):
            raise ConfigError(f"where is a table of fields and what is wanted of them, not {conditions!r}")
        try:
            self.conditions: dict[str, Any] = {}
            for name, wanted in _named(conditions):
                if name in self.conditions:
                    raise ConfigError(f"where has {name!r} twice: join what is wanted of it")
                self.conditions[name] = wanted
            self._tests = [(_reader(name), _test(name, wanted)) for name, wanted in self.conditions.items()]
        except RecursionError:
            raise ConfigError("where is nested too deeply") from None

    def __repr__(self) -> str:
        return f"Where({self.conditions!r})"

    def __str__(self) -> str:
        return json.dumps(self.conditions, ensure_ascii=False, sort_keys=True, default=_listed)

    def passes(self, event: Event) -> bool:
        """Return whether an event meets all conditions."""
        return all(test(_texts(read(event))) for read, test in self._tests)


def _named(conditions: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each condition by the name of its field; raises ConfigError for a field that no event has."""
    for name, wanted in conditions.items():
        if name == _EXTRA and isinstance(wanted, Mapping) and wanted and _NOT not in wanted:
            yield from _nested_names(_EXTRA, wanted)
        elif name in _FIELDS or (isinstance(name, str) and name.startswith(f"{_EXTRA}.") and name != f"{_EXTRA}."):
            yield name, wanted
        else:
            near = get_close_matches(str(name), [*_FIELDS, _EXTRA], 1)
            hint = f", did you mean {near[0]}?" if near and near[0] != name else ":"
            raise ConfigError(f"where has {name!r}, which is no field to filter by{hint} {_NAMES}")


def _nested_names(path: str, wanted: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the conditions of a table in a table, which is what TOML makes of a name with dots."""
    for name, inner in wanted.items():
        below = f"{path}.{name}"
        if isinstance(inner, Mapping) and inner and _NOT not in inner:
            yield from _nested_names(below, inner)
        else:
            yield below, inner


def _test(name: str, wanted: Any) -> Test:
    """Return what tells whether a field meets a condition; raises ConfigError for what is none."""
    if isinstance(wanted, Mapping):
        if set(wanted) != {_NOT}:
            raise _no_condition(name, wanted)
        return _negated(_test(name, wanted[_NOT]))
    if isinstance(wanted, list | tuple | AbstractSet):
        if not wanted:
            raise ConfigError(f"where has an empty list for {name!r}, which no event would meet: name what is wanted")
        tests = [_test(name, each) for each in wanted]
        return lambda texts: any(test(texts) for test in tests)
    if not (wanted is None or isinstance(wanted, str | bool | int | float)):
        raise _no_condition(name, wanted)
    if isinstance(wanted, float) and not math.isfinite(wanted):
        raise _no_condition(name, wanted)
    text = _text(wanted)
    if isinstance(wanted, str) and is_glob(wanted):
        return _matching(wanted)
    return lambda texts: text in texts


def _negated(test: Test) -> Test:
    return lambda texts: not test(texts)


def _matching(glob: str) -> Test:
    """Return what tells whether a text matches a glob, or is it: `inventory/A[1]` is both."""
    match = re.compile(translate(glob)).match
    return lambda texts: any(text is not None and (text == glob or match(text) is not None) for text in texts)


def _no_condition(name: str, wanted: object) -> ConfigError:
    return ConfigError(f"where has {wanted!r} for {name!r}: write {_SHAPES}")


def _reader(name: str) -> Callable[[Event], object]:
    """Return what reads a field of an event."""
    if name in _FIELDS:
        return lambda event: getattr(event, name)
    path = name.removeprefix(f"{_EXTRA}.")
    return lambda event: _nested(event.extra, path)


def _nested(found: object, path: str) -> object:
    """Return what a name with dots stands for: the field of just that name, or one within another; None for none."""
    if isinstance(found, list):
        return [inner for each in found if (inner := _nested(each, path)) is not None]
    if not isinstance(found, dict):
        return None
    if path in found:
        return found[path]
    dots = (place for place, letter in enumerate(path) if letter == ".")
    inners = (_nested(found.get(path[:dot]), path[dot + 1 :]) for dot in dots)
    return next((inner for inner in inners if inner is not None), None)


def _texts(value: object) -> Texts:
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)] or (None,)
    return (_text(value),)


def _listed(values: AbstractSet[Any]) -> list[Any]:
    return sorted(values, key=str)


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) <= _WHOLE:
        value = int(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
