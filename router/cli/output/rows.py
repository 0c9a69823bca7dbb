"""How events and dead letters are written as JSON and as rows of a table."""

from collections.abc import Mapping
from typing import Any

from router.cli.output.results import age, stamp
from router.cli.output.table import EVENT, RESOURCE, SUBSCRIPTION, Column, TwoForms, ident, rest
from router.events.catalogue import Catalogue
from router.events.event import Event
from router.events.globs import short
from router.events.hints import read_hints
from router.events.redact import MASK, redacted, redacted_hints
from workers.delivery import AttemptError
from workers.operations.dead_letters.error_groups import ErrorGroup
from workers.operations.dead_letters.letters import DeadLetterEntry
from workers.operations.quarantined import Quarantined

__all__ = [
    "DEAD_LETTER_COLUMNS",
    "attempt_json",
    "body_of",
    "dead_letter_json",
    "dead_letter_row",
    "error_group_json",
    "event_cell",
    "event_json",
    "quarantined_json",
    "text_of",
    "unsigned",
]

DEAD_LETTER_COLUMNS = (
    ident("ID"),
    Column("AGE", right=True),
    EVENT,
    RESOURCE,
    SUBSCRIPTION,
    Column("ATTEMPTS", right=True, drop=4),
    Column("FINGERPRINT", drawn="PRINT", drop=1),
    rest("ERROR"),
)


def text_of(raw: bytes) -> str:
    r"""Return bytes as text; those that are no UTF-8 as `\xff`."""
    return raw.decode(errors="backslashreplace")


def event_json(event: Event, *, reveal: bool) -> dict[str, Any]:
    """Return an event under the names of its fields; `reveal`: with the values that are masked otherwise.

    Those are the values of the body, of the fields that have no name here, and of hints that callers chose.
    """
    dumped = event.model_dump(exclude={"raw"}, mode="json")
    if not reveal:
        dumped["extra"] = dict.fromkeys(event.extra, MASK)
        dumped["hints"] = redacted_hints(event.hints)
    return {**dumped, "raw": body_of(event.raw, reveal=reveal)}


def body_of(raw: bytes, *, reveal: bool) -> str:
    """Return a body as text, or, unless it is revealed, its structure without its values."""
    return text_of(raw) if reveal else redacted(raw)


def unsigned(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record for people, its hints named as what they are."""
    hints = record.get("hints")
    if not hints:
        return dict(record)
    pairs = ", ".join(f"{name}: {value}" for name, value in hints.items())
    return {name: value for name, value in record.items() if name != "hints"} | {"hints (unsigned)": pairs}


def dead_letter_json(letter: DeadLetterEntry) -> dict[str, Any]:
    """Return what a list tells of a dead letter."""
    return {
        "entry_id": letter.entry_id,
        "id": letter.event_id,
        "stream": letter.stream,
        "publisher": letter.publisher,
        "type": letter.type,
        "resource": letter.resource,
        "subscription": letter.subscription,
        "attempts": letter.used,
        "error": letter.error or None,
        "message": letter.message,
        "reason": letter.reason,
        "fingerprint": letter.fingerprint,
        "died_at": stamp(letter.died_at),
        "first_failed_at": stamp(letter.first_failed_at),
        "last_failed_at": stamp(letter.last_failed_at),
    }


def dead_letter_row(catalogue: Catalogue, letter: DeadLetterEntry) -> tuple[object, ...]:
    """Return the cells of DEAD_LETTER_COLUMNS."""
    what = f"{letter.error}: {letter.message}" if letter.error else letter.reason
    where = (letter.event_id, age(letter.died_at), event_cell(catalogue, letter.stream), letter.resource)
    return (*where, letter.subscription, letter.used, letter.fingerprint, what.strip().partition("\n")[0])


def event_cell(catalogue: Catalogue, stream: str) -> TwoForms:
    """Return the cell of EVENT."""
    return TwoForms(stream, short(catalogue, stream))


def attempt_json(attempt: AttemptError) -> dict[str, Any]:
    """Return how an attempt failed."""
    return {
        "at": stamp(attempt.at),
        "attempt": attempt.attempt,
        "error": attempt.error,
        "message": attempt.message,
        "traceback": attempt.traceback,
    }


def error_group_json(group: ErrorGroup) -> dict[str, Any]:
    """Return what is common to dead letters that failed alike."""
    return {
        "fingerprint": group.fingerprint,
        "subscription": group.subscription,
        "stream": group.stream,
        "error": group.error or None,
        "message": group.message,
        "count": group.count,
        "first_seen": stamp(group.first_seen),
        "last_seen": stamp(group.last_seen),
        "sample": group.sample,
    }


def quarantined_json(found: Quarantined, *, reveal: bool) -> dict[str, Any]:
    """Return what was quarantined, with its hints where it has any; `reveal` as for an event."""
    hints = read_hints(found.hints)
    return {
        "entry_id": found.entry_id,
        "id": found.id,
        "publisher": found.publisher,
        "received_at": stamp(found.received_at),
        "reason": found.reason,
        "raw": body_of(found.raw, reveal=reveal),
        **({"hints": hints if reveal else redacted_hints(hints)} if hints else {}),
    }
