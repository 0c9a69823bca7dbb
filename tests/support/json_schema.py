"""Checks a value against a JSON Schema that uses no more than what the contract of the streams uses."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

__all__ = ["faults_of", "resolve"]

_TYPES: Mapping[str, type | tuple[type, ...]] = {"string": str, "integer": int, "boolean": bool, "object": dict}
_WORDS = {"$schema", "$comment", "title", "description"}
"""What says nothing of the value."""


def resolve(document: Any, reference: str) -> Any:
    """Return what a reference within a document points to; raises LookupError where there is nothing."""
    place, _, path = reference.partition("#/")
    if place or not path:
        raise LookupError(f"not a reference into the document: {reference}")
    for part in path.split("/"):
        document = document[part.replace("~1", "/").replace("~0", "~")]
    return document


def faults_of(schema: Mapping[str, Any], value: Any, document: Any = None, at: str = "") -> list[str]:
    """Return what is wrong with a value; raises KeyError for a keyword of the schema that is not known here.

    `document`: what its references point into.
    """
    return list(_faults(schema, value, document, at))


def _faults(schema: Mapping[str, Any], value: Any, document: Any, at: str) -> Iterator[str]:
    if "$ref" in schema:
        schema = resolve(document, schema["$ref"])
    for keyword, wanted in schema.items():
        if keyword in _WORDS or keyword == "contentMediaType":
            continue
        if keyword == "properties":
            for name in wanted.keys() & value.keys():
                yield from _faults(wanted[name], value[name], document, f"{at}/{name}")
        elif keyword == "contentSchema":
            yield from _faults(wanted, json.loads(value), document, f"{at}:")
        elif not _HOLDS[keyword](value, wanted):
            yield f"{at}: {value!r} is not {keyword} {wanted!r}"
            return


def _is_of_type(value: Any, wanted: str) -> bool:
    return isinstance(value, _TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))


def _is_of_format(value: str, wanted: str) -> bool:
    assert wanted == "date-time"
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


_HOLDS: Mapping[str, Callable[[Any, Any], bool]] = {
    "type": _is_of_type,
    "format": _is_of_format,
    "required": lambda value, names: not set(names) - value.keys(),
    "minLength": lambda value, length: len(value) >= length,
    "pattern": lambda value, pattern: re.search(pattern, value) is not None,
}
