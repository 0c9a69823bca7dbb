"""How events and dead letters are written as JSON and as rows of a table."""

from collections.abc import Iterable, Mapping
from typing import Any

from router.cli.command.exits import complain
from router.cli.output.results import age, fields_of, number_of, print_line, print_record
from router.cli.output.table import EVENT, RESOURCE, SUBSCRIPTION, Column, TwoForms, ident, rest
from router.events.catalogue import Catalogue
from router.events.event import Event
from router.events.globs import short
from router.events.hints import read_hints
from router.events.redact import MASK, hides, redacted, redacted_fields, redacted_hints
from workers.delivery import AttemptError
from workers.operations.answered import ANSWERED, shown_message
from workers.operations.dead_letters.entry import DeadLetterEntry
from workers.operations.quarantined import Quarantined

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


def event_json(event: Event, *, reveal: bool) -> dict[str, Any]:
    """Return an event under the names of its fields; `reveal`: with the values that are masked otherwise.

    Those are the values of the body, of the fields that are masked there or have no name here, and of hints that
    callers chose.
    """
    dumped = event.model_dump(exclude={"raw"}, mode="json")
    if not reveal:
        dumped = redacted_fields(dumped)
        dumped["extra"] = dict.fromkeys(event.extra, MASK)
        dumped["hints"] = redacted_hints(event.hints)
    return {**dumped, "raw": body_of(event.raw, reveal=reveal)}


def body_of(raw: bytes, *, reveal: bool) -> str:
    r"""Return a body as text, with bytes that are no UTF-8 as `\xff`, or, unless revealed, without its values."""
    return raw.decode(errors="backslashreplace") if reveal else redacted(raw)


def is_masked(event: Mapping[str, Any], attempts: Iterable[AttemptError] = (), *, reveal: bool) -> bool:
    """Return whether values of an event, as `event_json` has it, or of answers to these attempts are masked."""
    shown = [event["raw"], *(event.get("hints") or {}).values()]
    answers = [shown_message(each, reveal=False).partition("\n")[2] for each in attempts if each.error == ANSWERED]
    return not reveal and any(map(hides, [*shown, *answers]))


def say_masked() -> None:
    """Say how what is masked can be seen."""
    complain("values are masked; --reveal shows them, and the audit says that you did")


def unsigned(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record for people, its hints named as what they are."""
    hints = record.get("hints")
    if not hints:
        return dict(record)
    pairs = ", ".join(f"{name}: {value}" for name, value in hints.items())
    return {name: value for name, value in record.items() if name != "hints"} | {"hints (unsigned)": pairs}


def dead_letter_json(letter: DeadLetterEntry) -> dict[str, Any]:
    """Return what a list tells of a dead letter."""
    place = fields_of(letter, "stream", "publisher", "type", "resource", "subscription")
    error = {"attempts": letter.used, "error": letter.error or None}
    more = fields_of(letter, "message", "reason", "fingerprint", "died_at", "first_failed_at", "last_failed_at")
    more["message"] = letter.message.partition("\n")[0] if letter.error == ANSWERED else letter.message
    keyed = {"key": letter.key} if letter.key else {}
    merged = {"merged": [fields_of(each, "id", "type", "at") for each in letter.merged]} if letter.merged else {}
    return {"entry_id": letter.entry_id, "id": letter.event_id, **place, **error, **more, **keyed, **merged}


def dead_letter_row(catalogue: Catalogue, letter: DeadLetterEntry) -> tuple[object, ...]:
    """Return the cells of DEAD_LETTER_COLUMNS."""
    where = (letter.event_id, age(letter.died_at), event_cell(catalogue, letter.stream), letter.resource)
    return (*where, letter.subscription, letter.used, letter.fingerprint, last_failure(letter))


def last_failure(letter: DeadLetterEntry) -> str:
    """Return in a line how it failed last, or else why it was given up; and for how many events it stands."""
    what = f"{letter.error}: {letter.message}" if letter.error else letter.reason
    line = what.strip().partition("\n")[0]
    return f"{line} (stands for {number_of(len(letter.merged), 'earlier event')} too)" if letter.merged else line


def event_cell(catalogue: Catalogue, stream: str) -> TwoForms:
    """Return the cell of EVENT."""
    return TwoForms(stream, short(catalogue, stream))


def attempt_json(attempt: AttemptError, *, reveal: bool) -> dict[str, Any]:
    """Return how an attempt failed; `reveal`: with the values of what a receiver answered."""
    message = {"message": shown_message(attempt, reveal=reveal)}
    return {**fields_of(attempt, "at", "attempt", "error"), **message, **fields_of(attempt, "traceback")}


def print_attempt(heading: str, attempt: AttemptError, *, reveal: bool) -> None:
    """Print how an attempt failed, below a heading that ends with which it was; `reveal` as in `attempt_json`."""
    print_line(f"\n{heading}{f'attempt {attempt.attempt}' if attempt.attempt else 'lost worker'}")
    shown = attempt_json(attempt, reveal=reveal)
    print_record({name: shown[name] for name in ("at", "error", "message", "traceback")})


def quarantined_json(found: Quarantined, *, reveal: bool) -> dict[str, Any]:
    """Return what was quarantined, with its hints where it has any; `reveal` as for an event."""
    hints = read_hints(found.hints)
    return {
        **fields_of(found, "entry_id", "id", "publisher", "received_at", "reason"),
        "raw": body_of(found.raw, reveal=reveal),
        **({"hints": hints if reveal else redacted_hints(hints)} if hints else {}),
    }
