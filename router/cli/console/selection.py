"""Which dead letters a page is about: the fields of its form, and the selector that they make."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from router.catalogue import Catalogue, UnknownStream
from router.globs import select
from workers.selector import Selector, parse_moment

__all__ = ["FIELDS", "Selection", "moment_in", "streams_in"]

FIELDS = ("subscription", "event", "error", "text", "resource", "since", "until", "fingerprint")
"""The names of the fields, in the order of the form."""

_AS_TYPED = ("subscription", "error", "text", "resource", "fingerprint")


@dataclass(frozen=True, slots=True)
class Selection:
    """What was typed into the fields, the selector that it means, and what is wrong with it, if anything is."""

    typed: Mapping[str, str]
    selector: Selector
    problem: str | None = None

    @classmethod
    def of(cls, query: Mapping[str, Any], catalogue: Catalogue) -> "Selection":
        """Read the fields of a URL or a form."""
        typed = {name: str(query.get(name, "")).strip() for name in FIELDS}
        typed = {name: text for name, text in typed.items() if text}
        try:
            return cls(typed, _selector(typed, catalogue))
        except (ValueError, OverflowError, UnknownStream) as error:
            return cls(typed, Selector(), str(error))


def _selector(typed: Mapping[str, str], catalogue: Catalogue) -> Selector:
    known = {field.name for field in fields(Selector)}
    given: dict[str, Any] = {name: typed[name] for name in _AS_TYPED if name in typed and name in known}
    if "event" in typed:
        given["events"] = ",".join(streams_in(typed["event"], catalogue))
    return Selector(**given, since=moment_in(typed, "since"), until=moment_in(typed, "until"))


def streams_in(text: str, catalogue: Catalogue) -> tuple[str, ...]:
    """Return the streams that names and globs, separated by commas, mean; raises UnknownStream."""
    found = (stream for part in text.split(",") for stream in select(catalogue, part.strip()))
    return tuple(dict.fromkeys(found))


def moment_in(typed: Mapping[str, str], name: str) -> datetime | None:
    """Return the time in a field, None for an empty one; raises ValueError saying what is allowed."""
    text = typed.get(name, "").strip()
    return parse_moment(text, datetime.now(UTC)) if text else None
