"""A dead letter as its stream holds it: the event, why it was given up, and the story of its attempts.

A command may look at a million of them, and most need no more than the id: so everything is read when it is asked for.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property

from router.events.catalogue import Catalogue
from router.events.event import Event
from router.events.fields import UnreadableEvent
from router.store.reading import is_entry_id, moment_of
from router.store.record import HISTORY, KEY, ORIGIN, RAW, REASON, text_of
from workers.delivery import AttemptError, Held, Merged, read_history
from workers.failure import fingerprint_of
from workers.keyed.entry import merged_before


class DeadLetterEntry:
    """An event that one subscription gave up; whatever somebody may have written there, nothing of it raises.

    `fields` are those of the entry, in their order. `renormalise`: the event is made again from the bytes as sent.
    `used`: how many failures there were since the last replay; `crashes`: how many of them took their worker with them.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        stream: str,
        subscription: str,
        entry_id: bytes,
        fields: Mapping[bytes, bytes],
        *,
        renormalise: bool = False,
    ) -> None:
        self.stream = stream
        self.subscription = subscription
        self.entry_id = entry_id.decode()
        self.fields = fields
        self._catalogue = catalogue
        self._renormalise = renormalise
        self._held = Held(stream, entry_id, fields, inbox=False, touched=0.0)
        self.publisher, _, self.type = stream.partition("/")
        self.used, self.crashes = self._held.used, self._held.crashes

    @property
    def event_id(self) -> str:
        """The event's id as the entry has it."""
        return self._held.event_id

    @cached_property
    def event(self) -> Event | None:
        """The event; None where it cannot be read."""
        try:
            return self._held.event(self._catalogue, renormalise=self._renormalise)
        except (UnreadableEvent, ValueError, OverflowError):  # the latter for a time that no calendar has
            return None

    @property
    def raw(self) -> bytes:
        """The notification's own bytes."""
        return self.fields.get(RAW, b"")

    @property
    def reason(self) -> str:
        """Why it was given up."""
        return text_of(self.fields, REASON)

    @property
    def key(self) -> str | None:
        """By which its keyed subscription orders it; None where that has no key, or this event has none."""
        return text_of(self.fields, KEY) or None

    @cached_property
    def merged(self) -> tuple[Merged, ...]:
        """The events that it stands for besides its own, oldest first."""
        return tuple(merged_before(self.fields))

    @property
    def origin(self) -> str:
        """The id of the entry in which it died: its own, or for an imported one that of the entry it was once."""
        origin = self.fields.get(ORIGIN, b"")
        return origin.decode() if is_entry_id(origin) else self.entry_id

    @cached_property
    def died_at(self) -> datetime:
        """When it was given up."""
        return moment_of(self.origin)

    @cached_property
    def attempts(self) -> tuple[AttemptError, ...]:
        """The failures of its whole story, replays included, oldest first."""
        return self._held.errors()

    @property
    def first_failed_at(self) -> datetime:
        """When it failed for the first time."""
        return self.attempts[0].at if self.attempts else self.died_at

    @property
    def last_failed_at(self) -> datetime:
        """When it failed for the last time."""
        return self._last.at if self._last else self.died_at

    @property
    def resource(self) -> str | None:
        """What the event was about."""
        return self.event.resource if self.event else None

    @property
    def company_id(self) -> str | None:
        """The company in the ERP that the event is of."""
        return self.event.company_id if self.event else None

    @property
    def error(self) -> str:
        """The class of the last failure; empty where none was written down."""
        return self._last.error if self._last else ""

    @property
    def message(self) -> str:
        """The message of the last failure, or else the reason."""
        return self._last.message if self._last else self.reason

    @property
    def fingerprint(self) -> str:
        """The name of what went wrong last, the same for all that failed alike."""
        return fingerprint_of(self.error, self.message)

    @cached_property
    def _last(self) -> AttemptError | None:
        """The last failure: read alone, for a history may hold two dozen tracebacks."""
        for line in reversed(self.fields.get(HISTORY, b"").splitlines()):
            if found := read_history(line):
                return found[0]
        return None
