"""One incident, and how the store holds it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

__all__ = [
    "ARCHIVE",
    "DRIFT",
    "GONE",
    "KINDS",
    "SUBJECT",
    "WATCHED",
    "Incident",
    "clipped",
    "incident_of",
    "notice_of",
    "packed",
]

WATCHED: Final = frozenset({"silence", "refused", "down", "idle", "dead", "quota", "spool", "memory"})
"""The kinds that the watcher opens and ends; of others those who open them do."""

ARCHIVE: Final = "archive"
"""The kind of the archiver."""
DRIFT: Final = "drift"
"""The kind of what learns the fields of types."""
GONE: Final = "gone"
"""The kind that a forward opens and ends; the watcher ends it of one whose subscription was removed."""

KINDS: Final = WATCHED | {ARCHIVE, DRIFT, GONE}
"""All kinds that there are."""

SUBJECT: Final = 200
"""Most characters of what an incident is about: those behind are not kept."""
_TEXT: Final = 600
"""Most characters of each sentence."""
_TEXTS = ("what", "do", "command")


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that goes wrong for a while; times in epoch milliseconds.

    kind: `silence`, `refused`, `idle`, `dead`, `spool`, `quota`, `drift`, `gone` and so on. subject:
    what it is about, as commands name it; kind and subject together are its name. what: a sentence, what happened. do:
    a sentence, what to do. command: the `event-router` command for that. over: when it ended, None while it lasts.
    """

    kind: str
    subject: str
    since: int
    what: str
    do: str
    command: str
    over: int | None = None


def clipped(incident: Incident) -> Incident:
    """Return an incident with texts of a bounded length."""
    texts = {name: getattr(incident, name)[:_TEXT] for name in _TEXTS}
    return replace(incident, subject=incident.subject[:SUBJECT], **texts)


def packed(incident: Incident) -> bytes:
    """Return the JSON of an incident that lasts."""
    texts = {name: getattr(incident, name) for name in ("kind", "subject", *_TEXTS)}
    safe = {name: text.encode(errors="replace").decode() for name, text in texts.items()}
    return msgspec.json.encode({**safe, "since": incident.since})


def incident_of(text: bytes, over: int | None = None) -> Incident | None:
    """Return the incident of its JSON; None for what somebody else wrote there."""
    try:
        values: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
        texts = {name: str(values[name]) for name in ("kind", "subject", *_TEXTS)}
        return Incident(since=int(values["since"]), over=over, **texts)
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return None


def notice_of(fields: Mapping[bytes, bytes]) -> Incident | None:
    """Return what an entry of the notices says: an incident that begins, or one that is over; None for neither."""
    over = fields.get(b"over", b"")
    return incident_of(fields.get(b"incident", b""), int(over) if over.isdigit() else None)
