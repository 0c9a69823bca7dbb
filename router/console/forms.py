"""What is typed into the fields of forms: texts, times, streams."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from config.errors import RouterError
from router.events.catalogue import Catalogue
from router.events.globs import select
from workers.operations.criteria import parse_moment


class Unclear(RouterError):
    """What was typed or chosen makes no sense; the message says what is allowed."""


def typed_in(sent: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    """Return those of the fields, of a URL or a form, into which something was typed."""
    texts = {name: str(sent.get(name, "")).strip() for name in names}
    return {name: text for name, text in texts.items() if text}


def line_in(sent: Mapping[str, Any], name: str, longest: int) -> str:
    """Return what was typed as one line of at most so many characters."""
    return " ".join(str(sent.get(name, "")).split())[:longest]


def streams_in(text: str, catalogue: Catalogue) -> tuple[str, ...]:
    """Return the streams that names and globs, separated by commas, mean; raises UnknownStream."""
    found = (stream for part in text.split(",") for stream in select(catalogue, part.strip()))
    return tuple(dict.fromkeys(found))


def moment_in(typed: Mapping[str, str], name: str) -> datetime | None:
    """Return the time in a field, None for an empty one; raises Unclear."""
    text = typed.get(name, "").strip()
    try:
        return parse_moment(text, datetime.now(UTC)) if text else None
    except (ValueError, OverflowError) as error:
        raise Unclear(str(error)) from None
