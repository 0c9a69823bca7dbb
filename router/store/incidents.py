"""The script of incidents, and its keys: one hash tag for all, so that an incident and its notice are one step."""

from functools import cache
from typing import Final

from router.store.keys import Keys
from router.store.scripts import Call, Script

__all__ = ["MOST", "IncidentCalls"]

MOST: Final = 500
"""Most incidents of one kind that last at once, and most names that are muted."""
_NOTICES: Final = 10_000
"""Notices that are kept, the newest; the server may keep a few more."""

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
