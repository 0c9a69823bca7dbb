"""What a setting takes, in the words of the message that refuses another value."""

from collections.abc import Mapping
from types import MappingProxyType

from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from config.times import span

_NUMBERS = ("int_", "float_", "greater_than", "less_than", "finite_number")
_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "bool_parsing": "must be true or false",
        "bool_type": "must be true or false",
        "dict_type": "is a section: set what is in it",
        "ip_any_network": "must be a network, such as 10.0.0.0/8",
        "literal_error": "must be {expected}",
        "model_type": "is a section: set what is in it",
        "path_type": "must be a path",
        "string_pattern_mismatch": "must match {pattern}",
        "string_too_short": "must not be empty",
        "string_type": "must be a text",
        "tuple_type": "must be a list",
    }
)


def wanted(problem: ErrorDetails, field: FieldInfo | None) -> str:
    """Say what is wanted of the value that a validator of this field refused."""
    kind, context = problem["type"], problem.get("ctx", {})
    if field is not None and kind.startswith(_NUMBERS):
        number = f"a {'whole ' if field.annotation is int else ''}number"
        if any(getattr(rule, "func", None) is span for rule in field.metadata):
            return f"must be {number}{_bounds(field)}, in seconds, or a time such as 90s, 10m, 1h or 7d"
        return f"must be {number}{_bounds(field)}"
    if kind in _WORDS:
        return _WORDS[kind].format_map(context)
    return str(context.get("error", problem["msg"]))


def _bounds(field: FieldInfo) -> str:
    above, least, most = (_bound(field, name) for name in ("gt", "ge", "le"))
    if above is not None:
        return f" above {above}"
    if least is None:
        return ""
    return f" of at least {least}" if most is None else f" from {least} to {most}"


def _bound(field: FieldInfo, name: str) -> float | None:
    return next((bound for rule in field.metadata if (bound := getattr(rule, name, None)) is not None), None)
