"""A dead letter as its stream holds it: the event, why it was given up, and the story of its attempts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from router.catalogue import Catalogue
from router.event import Event
from router.normalise import UnreadableEvent
from router.pages import moment_of
from workers.delivery import AttemptError, Held

__all__ = ["DeadLetterEntry", "read_dead_letter"]


@dataclass(frozen=True, slots=True)
class DeadLetterEntry:
    """An event that one subscription gave up; `event` is None where it cannot be read.

    `attempts` are the failures of its whole story, replays included, and `used` counts those since the last replay,
    `crashes` (workers that died with it) among them.
    """

    entry_id: str
    stream: str
    subscription: str
    event_id: str
    event: Event | None
    reason: str
    died_at: datetime
    first_failed_at: datetime
    last_failed_at: datetime
    attempts: tuple[AttemptError, ...]
    used: int
    crashes: int
    raw: bytes

    @property
    def publisher(self) -> str:
        """The first part of the stream's name."""
        return self.stream.partition("/")[0]

    @property
    def type(self) -> str:
        """The second part of the stream's name."""
        return self.stream.partition("/")[2]

    @property
    def resource(self) -> str | None:
        """What the event was about."""
        return self.event.resource if self.event else None

    @property
    def error(self) -> str:
        """The class of the last failure; empty where none was written down."""
        return self.attempts[-1].error if self.attempts else ""

    @property
    def message(self) -> str:
        """The message of the last failure, or else the reason."""
        return self.attempts[-1].message if self.attempts else self.reason


def read_dead_letter(
    catalogue: Catalogue, stream: str, subscription: str, entry_id: bytes, fields: Mapping[bytes, bytes]
) -> DeadLetterEntry:
    """Read an entry of a stream of dead letters; never raises, whatever somebody may have written there."""
    held = Held(stream, entry_id, fields, inbox=False, touched=0.0)
    died_at = moment_of(entry_id)
    attempts = held.errors()
    return DeadLetterEntry(
        entry_id=entry_id.decode(),
        stream=stream,
        subscription=subscription,
        event_id=held.event_id,
        event=_event(held, catalogue),
        reason=fields.get(b"reason", b"").decode(errors="replace"),
        died_at=died_at,
        first_failed_at=attempts[0].at if attempts else died_at,
        last_failed_at=attempts[-1].at if attempts else died_at,
        attempts=attempts,
        used=held.used,
        crashes=held.crashes,
        raw=fields.get(b"raw", b""),
    )


def _event(held: Held, catalogue: Catalogue) -> Event | None:
    try:
        return held.event(catalogue)
    except (UnreadableEvent, ValueError, OverflowError):  # the latter for a time that no calendar has
        return None
