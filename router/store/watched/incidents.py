"""The scripts of incidents and of notifiers: one hash tag for all, so that an incident and its notice are one step.

A notifier has a group of the stream of notices, and a lease and a state beside it.
"""

from functools import cache
from typing import Final

from router.store.keys import Keys
from router.store.scripts import Call, Script

__all__ = ["MOST", "IncidentCalls", "forget_notifier", "group_of", "notifier_of"]

MOST: Final = 500
"""Most incidents of one kind that last at once, and most names that are muted."""
_NOTICES: Final = 10_000
"""Notices that are kept, the newest; the server may keep a few more."""

_GROUP: Final = "notifier:"

_script = cache(Script)


class IncidentCalls:
    """What may be done with incidents; times in epoch milliseconds. Replies: see incidents/incident.lua."""

    def __init__(self, keys: Keys) -> None:
        self._keys = (keys.incidents(), keys.notices(), keys.muted())

    def open(self, kind: str, subject: str, now: int, incident: bytes) -> Call:
        """Open an incident, unless it lasts already or is muted; one that lasts gets these texts."""
        return self._call("open", kind, subject, now, incident)

    def end(self, kind: str, subject: str, now: int, over: int) -> Call:
        """End an incident, if it lasts."""
        return self._call("end", kind, subject, now, over)

    def mute(self, kind: str, subject: str, now: int, until: int) -> Call:
        """Mute incidents of a kind about a subject; 0 for good. One that lasts is removed, without a notice."""
        return self._call("mute", kind, subject, now, until)

    def unmute(self, kind: str, subject: str, now: int) -> Call:
        """Let incidents of a kind about a subject be opened again."""
        return self._call("unmute", kind, subject, now, "")

    def _call(self, verb: str, kind: str, subject: str, now: int, last: bytes | int | str) -> Call:
        args = (verb, kind, f"{kind}/{subject}".encode(errors="replace"), now, MOST, _NOTICES, last)
        return Call(_script("incidents/incident"), self._keys, args)


def group_of(notifier: str) -> str:
    """Return the group in which the notices wait for a notifier."""
    return f"{_GROUP}{notifier}"


def notifier_of(group: str) -> str | None:
    """Return the notifier whose group that is; None for a group of somebody else."""
    return group.removeprefix(_GROUP) if group.startswith(_GROUP) else None


def forget_notifier(keys: Keys, notifier: str, before: int, now: int) -> Call:
    """Remove a notifier that no process has wanted since `before` (epoch milliseconds). Reply: whether it is gone."""
    names = (keys.notices(), keys.notifiers(), keys.notified(notifier), keys.notifying(notifier))
    return Call(_script("notify/forget"), names, (notifier, group_of(notifier), before, now))
