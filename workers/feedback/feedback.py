"""The feedback of one subscription: a note for each notification whose event is done or dead."""

from collections.abc import Callable, Iterable, Iterator

from router.events.catalogue import Catalogue
from router.events.event import Event
from router.store.record import REASON, text_of
from router.telemetry import logs
from workers.delivery import Held
from workers.feedback.note import Note, cut_before, is_notification, why_dead
from workers.outcomes import WorkerLost

__all__ = ["Feedback"]

_KEPT = 7200.0
"""Seconds for which a note is tried: longer than a window of the quota."""
_DONE = "done"
_DEAD = "given up"

_log = logs.get("feedback")


class Feedback:
    """Makes the notes of a subscription and hands them to `put`; `monotonic` in seconds."""

    def __init__(
        self, source: str, catalogue: Catalogue, put: Callable[[Note], None], monotonic: Callable[[], float]
    ) -> None:
        self._source = source
        self._catalogue = catalogue
        self._put = put
        self._monotonic = monotonic

    def settled(self, items: Iterable[Held], *, success: bool) -> None:
        """Take note of deliveries that the store knows as done, or else dead; never raises."""
        for held in items:
            try:
                for note in self._notes(held, success=success):
                    self._put(note)
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001 - an entry that cannot be read has no tenant to answer to
                _log.warning("feedback_not_made", event_id=held.event_id, error=type(error).__name__)

    def _notes(self, held: Held, *, success: bool) -> Iterator[Note]:
        event = held.event(self._catalogue)
        about = event.model_copy(update={"raw": b"", "extra": {}})  # a note waits in memory, and may wait long
        said = held.said or (_DONE if success else _why_dead(held))
        now = self._monotonic()
        named = [(merged.id, merged.publisher) for merged in held.merged]
        for id_, publisher in dict.fromkeys([*named, (event.id, event.publisher)]):
            if is_notification(id_):
                more = "" if id_ == event.id else f" (with the later {event.id})"
                yield Note(id_, _of(about, publisher), self._source, cut_before(said, more), success, now, now + _KEPT)


def _of(about: Event, publisher: str) -> Event:
    return about if publisher in ("", about.publisher) else about.model_copy(update={"publisher": publisher})


def _why_dead(held: Held) -> str:
    """Return why one is dead that another worker gave up, and died before the store had that so."""
    failed = (error for error in reversed(held.errors()) if error.error != WorkerLost.__name__)
    error, message = next(((last.error, last.message) for last in failed), ("", ""))
    return why_dead(text_of(held.fields, REASON), error, message) or _DEAD
