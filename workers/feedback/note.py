"""A note for the users of the ERP: what became of one notification, in a line that holds no secret."""

from dataclasses import dataclass
from typing import Any, Final

from router.events.event import Event
from router.telemetry.printable import printable
from workers.failure import described
from workers.feedback.masking import masked

__all__ = ["Note", "cut_before", "is_notification", "line_of", "reason_of", "why_dead"]

_LONGEST: Final = 250
"""Characters of a description; what the ERP takes is not published."""
_NONE: Final = ("sha256:", "reconcile-")
"""What ids begin with that no sender gave: digests, and those of changes that a sweep has found."""


@dataclass(frozen=True, slots=True)
class Note:
    """What is posted for one notification; when it was made, and until when it is tried, are in monotonic seconds.

    about: the event whose tenant and company it is of. source: the subscription.
    """

    id: str
    about: Event
    source: str
    description: str
    success: bool
    made: float
    until: float

    def body(self) -> dict[str, Any]:
        """Return what the ERP takes."""
        said = {"source": self.source, "description": self.description, "isSuccess": self.success}
        return {"notificationId": self.id, **said}


def is_notification(id_: str) -> bool:
    """Tell whether an event's id is one that its sender gave, which the ERP knows."""
    return bool(id_) and not id_.startswith(_NONE)


def reason_of(reason: str, error: BaseException | None) -> str:
    """Return why an event is dead: the reason, and what its last attempt failed with, where that says more."""
    return why_dead(reason, *(("", "") if error is None else described(error)))


def why_dead(reason: str, error: str, message: str) -> str:
    """Return what `reason_of` does, of the class of the error and its message; empty texts for none."""
    first = _first(message)
    return line_of(reason if first in reason else f"{_first(reason)}: {error}: {first}")


def line_of(text: str) -> str:
    """Return the first line of a text, bounded, without secrets and with nothing but what prints."""
    line = masked(printable(_first(text)[: 2 * _LONGEST]).encode(errors="replace").decode())
    return cut_before(line, "")


def cut_before(line: str, more: str) -> str:
    """Return a line and what is said behind it, the line cut so that both are bounded."""
    room = max(1, _LONGEST - len(more))
    return (line if len(line) <= room else f"{line[: room - 1]}…") + more


def _first(text: str) -> str:
    return next(iter(text.strip().splitlines()), "")
