"""One event handed to one subscription: as the handler sees it, and as the streams hold it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from router.events.catalogue import Catalogue
from router.events.event import Event
from router.store.record import (
    AT,
    ATTEMPTS,
    CRASHES,
    DEFERRED,
    FIELDS,
    GENERATION,
    HISTORY,
    ID,
    RAW,
    number_of,
    read_event,
    text_of,
)
from router.store.scripts import Field
from workers.deferrals import Deferrals, read_deferrals
from workers.failure import Detailed, described, trace_of

__all__ = ["AttemptError", "Delivery", "Held", "Merged", "error_line", "extended", "joined", "read_history"]

_MESSAGE = 2_000
_TRACEBACK = 8_000
_HISTORY = 24
_FIELDS = 128  # a script cannot unpack the thousands that an entry of a stranger may have


@dataclass(frozen=True, slots=True)
class AttemptError:
    """How an attempt failed: when, with which class of exception, its message and traceback."""

    at: datetime
    attempt: int
    error: str
    message: str
    traceback: str = ""


class Merged(NamedTuple):
    """An event that a later one of its key stands for: its id and type, and when it was received, aware and in UTC.

    `generation` as in `Delivery`; publisher: of the event.
    """

    id: str
    type: str
    at: datetime
    publisher: str = ""
    generation: str = ""


class Delivery(msgspec.Struct, frozen=True):
    """An event with the story of its delivery to this subscription; `attempt` is 1 for the first.

    `merged` are the events that it stands for besides its own, oldest first: see `Coalesce`. `deferred` is how often it
    was deferred before. `generation` tells a replay from the first delivery, for which it is empty, and from other
    replays; retries and redeliveries keep it.
    """

    event: Event
    subscription: str
    attempt: int = 1
    errors: tuple[AttemptError, ...] = ()
    merged: tuple[Merged, ...] = ()
    deferred: int = 0
    generation: str = ""

    @property
    def first_at(self) -> datetime:
        """When the oldest of the events that it stands for was received."""
        return min((merged.at for merged in self.merged), default=self.event.received_at)


class Held:
    """A delivery in this worker's hands, as it was read from a stream; `fields` as `store.record` names them."""

    __slots__ = (
        "attempts",
        "crashes",
        "entry_id",
        "fields",
        "inbox",
        "kept",
        "lost",
        "received",
        "said",
        "stream",
        "touched",
        "until",
    )

    def __init__(
        self, stream: str, entry_id: bytes, fields: Mapping[bytes, bytes], *, inbox: bool, touched: float
    ) -> None:
        self.stream = stream
        self.entry_id = entry_id
        self.fields = fields
        self.inbox = inbox
        self.touched = touched
        self.lost = False
        self.kept: Event | None = None
        self.until: float | None = None  # epoch seconds after which no attempt can succeed any more
        self.said = ""  # what became of it, in words for the users of the ERP; empty for no more than the outcome
        self.received = 0  # epoch milliseconds, once `event` has read it
        self.attempts = number_of(fields[ATTEMPTS]) if ATTEMPTS in fields else 0
        self.crashes = number_of(fields[CRASHES]) if CRASHES in fields else 0

    @property
    def merged(self) -> tuple[Merged, ...]:
        """The events that it stands for besides its own, oldest first; none where it is an entry of a stream."""
        return ()

    @property
    def stands_for(self) -> int:
        """How many events end with it."""
        return 1

    @property
    def generation(self) -> str:
        """Which replay of the event it is: see `store.record`."""
        return text_of(self.fields, GENERATION) if GENERATION in self.fields else ""

    @property
    def used(self) -> int:
        """Deliveries before this one: attempts that failed, and those that a worker did not survive."""
        return self.attempts + self.crashes

    @property
    def spent(self) -> int:
        """Attempts surely used up; after one crash, each delivery that the worker held is only suspected."""
        return self.attempts + self.crashes - 1 if self.crashes else self.attempts

    @property
    def deferrals(self) -> Deferrals | None:
        """How it was deferred before; None where it was not."""
        return read_deferrals(self.fields[DEFERRED]) if DEFERRED in self.fields else None

    def poisonous(self, limit: int) -> bool:
        """Return whether it has surely killed workers until its attempts were used up."""
        return self.crashes > 1 and self.used >= limit

    def surely_ours(self, stale: float) -> bool:
        """Return whether nobody else can have it: the hold was renewed after `stale`, and no worker died with it."""
        return self.touched >= stale and not self.crashes and not self.lost

    @property
    def event_id(self) -> str:
        """The event's id as the entry has it, for logs."""
        return text_of(self.fields, ID)

    def event(self, catalogue: Catalogue, *, renormalise: bool = False) -> Event:
        """Return the normalised event; raises UnreadableEvent where the entry is not one of ours."""
        if self.kept is not None and not renormalise:
            return self.kept
        self.received = number_of(self.fields.get(AT))
        return read_event(catalogue, self.stream, self.fields, renormalise=renormalise)

    def kept_event(self, catalogue: Catalogue) -> Event:
        """Return the event as `event` does, which then needs not read it once more."""
        self.kept = self.event(catalogue)
        return self.kept

    def errors(self) -> tuple[AttemptError, ...]:
        """Return the earlier failures, oldest first."""
        return read_history(self.fields.get(HISTORY, b""))

    def moved(self, line: str | None = None, deferred: bytes | None = None) -> list[Field]:
        """Return the fields to move this delivery with.

        With `line`, one more failed attempt and its history line; with `deferred`, that field so.
        """
        fields: dict[bytes, Field] = {**self.fields}
        if deferred is not None:
            fields[DEFERRED] = deferred
        if line is not None:
            fields[ATTEMPTS] = self.attempts + 1
            fields[HISTORY] = extended(self.fields.get(HISTORY, b""), line)
        return [part for pair in _bounded(fields) or [(RAW, b"")] for part in pair]


def _bounded(fields: Mapping[bytes, Field]) -> list[tuple[bytes, Field]]:
    """Return as many fields as a script can take, ours among them."""
    pairs = list(fields.items())
    if len(pairs) <= _FIELDS:
        return pairs
    ours = [pair for pair in pairs if pair[0] in FIELDS]
    return [pair for pair in pairs if pair[0] not in FIELDS][: _FIELDS - len(ours)] + ours


def error_line(error: BaseException, attempt: int, at: float) -> str:
    """Return the history line of a failed attempt; `at` in epoch seconds."""
    name, text = described(error)
    if isinstance(error, Detailed) and error.detail:
        text = f"{text}\n{error.detail}"
    return json.dumps(
        {
            "at": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"),
            "attempt": attempt,
            "error": name,
            "message": text[:_MESSAGE],
            "traceback": trace_of(error)[-_TRACEBACK:],
        }
    )


def read_history(lines: bytes) -> tuple[AttemptError, ...]:
    """Return the failed attempts of a history; a line that cannot be read (of a stranger) is skipped."""
    errors = []
    for line in lines.splitlines():
        try:
            errors.append(_attempt(json.loads(line)))
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
            continue
    return tuple(errors)


def _attempt(entry: dict[str, Any]) -> AttemptError:
    """Return one line of a history, whatever the types in it: a stranger may have written anything."""
    at = datetime.fromisoformat(entry["at"])
    moment = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    texts = (_legible(entry.get(name, "")) for name in ("error", "message", "traceback"))
    return AttemptError(moment, int(entry["attempt"]), *texts)


def _legible(value: object) -> str:
    """Return a text that any encoding can carry: a message may hold half of a surrogate pair, as file names do."""
    return ("" if value is None else str(value)).encode(errors="backslashreplace").decode()


def extended(history: bytes, line: str) -> bytes:
    """Return the history with one more line: the first and the newest are kept when it grows long."""
    return _shortened([*history.splitlines(), line.encode()])


def joined(history: bytes, other: bytes) -> bytes:
    """Return two histories as one, each line once, oldest first; what cannot be read is the oldest."""
    if not (history and other):
        return history or other
    lines = dict.fromkeys([*other.splitlines(), *history.splitlines()])
    return _shortened(sorted(lines, key=_moment_of))


def _moment_of(line: bytes) -> datetime:
    found = read_history(line)
    return found[0].at if found else datetime.min.replace(tzinfo=UTC)


def _shortened(lines: list[bytes]) -> bytes:
    if len(lines) > _HISTORY:
        lines = [lines[0], *lines[-_HISTORY + 1 :]]
    return b"\n".join(lines)
