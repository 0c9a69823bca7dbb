"""Which dead letters a page is about: the fields of its form, and the selector that they make."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router.console.forms import moment_in, streams_in, typed_in
from router.events.catalogue import Catalogue, UnknownStream
from workers.operations.dead_letters.selector import Selector

__all__ = ["FIELDS", "Selection"]

FIELDS = ("subscription", "event", "error", "text", "resource", "company", "since", "until", "fingerprint")
"""The names of the fields, in the order of the form."""

_AS_TYPED = ("subscription", "error", "text", "resource", "company", "fingerprint")


@dataclass(frozen=True, slots=True)
class Selection:
    """What was typed into the fields, the selector that it means, and what is wrong with it, if anything is."""

    typed: Mapping[str, str]
    selector: Selector
    problem: str | None = None

    @classmethod
    def of(cls, query: Mapping[str, Any], catalogue: Catalogue) -> "Selection":
        """Read the fields of a URL or a form."""
        typed = typed_in(query, FIELDS)
        try:
            return cls(typed, _selector(typed, catalogue))
        except (ValueError, OverflowError, UnknownStream) as error:
            return cls(typed, Selector(), str(error))


def _selector(typed: Mapping[str, str], catalogue: Catalogue) -> Selector:
    given: dict[str, Any] = {name: typed[name] for name in _AS_TYPED if name in typed}
    if "event" in typed:
        given["events"] = ",".join(streams_in(typed["event"], catalogue))
    return Selector(**given, since=moment_in(typed, "since"), until=moment_in(typed, "until"))
