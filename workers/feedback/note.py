"""A note for the users of the ERP: what became of one notification, in a line that holds no secret."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from router.events.event import Event
from router.telemetry.printable import printable
from workers.failure import described

__all__ = ["Note", "is_notification", "line_of", "reason_of"]

_LONGEST: Final = 250
"""Characters of a description; what the ERP takes is not published."""
_NONE: Final = ("sha256:", "reconcile-")
"""What ids begin with that no sender gave: digests, and those of changes that a sweep has found."""
_MASKED: Final[Mapping[re.Pattern[str], str]] = {
    re.compile(r"(://)[^/\s@]+@"): r"\1…@",
    re.compile(r"(://[^\s?#]+\?)[^\s'\"]+"): r"\1…",
    re.compile(r"(?i)\b(bearer|basic)\s+[^\s,;'\"]+"): r"\1 …",
    re.compile(
        r"(?i)(\b[\w-]*(?:secret|signature|password|passwd|authorization|token|cookie|api[_-]?key)[\w-]*"
        r"['\"]?\s*[=:]\s*)(?:'[^']*'|\"[^\"]*\"|[^\s,;&]+)"
    ): r"\1…",
}
"""Where a message that was written for a log may hold a secret, and what is shown of it."""


@dataclass(frozen=True, slots=True)
class Note:
    """What is posted for one notification, and until when that is tried (monotonic seconds).

    about: the event whose tenant and company it is of. source: the subscription.
    """

    id: str
    about: Event
    source: str
    description: str
    success: bool
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
    if error is None:
        return line_of(reason)
    name, text = described(error)
    first = _first(text)
    return line_of(reason if first in reason else f"{_first(reason)}: {name}: {first}")


def line_of(text: str) -> str:
    """Return the first line of a text, bounded, without secrets and with nothing but what prints."""
    line = printable(_first(text)[: 2 * _LONGEST]).encode(errors="replace").decode()
    for pattern, shown in _MASKED.items():
        line = pattern.sub(shown, line)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _first(text: str) -> str:
    return next(iter(text.strip().splitlines()), "")
