"""The script that knows by whom versions of a record were made; echoes/versions.lua says how it works."""

from functools import cache
from typing import Literal, NamedTuple

from router.store.keys import Keys
from router.store.scripts import Call, Script

__all__ = ["ATTEMPT", "KEPT", "Judged", "RecordOf", "Versions"]

KEPT = 86_400_000
"""Milliseconds for which versions are known after the last write or attempt."""
ATTEMPT = 600.0
"""Seconds after which an attempt without a time-out is no longer waited for."""

Judged = Literal["echo", "wait", "handle"]

_script = cache(Script)


class RecordOf(NamedTuple):
    """Which record it is: of which publisher, tenant and company, and its path."""

    publisher: str
    tenant: str
    company: str
    path: str


class Versions:
    """The versions of one record; times in seconds."""

    def __init__(self, keys: Keys, record: RecordOf) -> None:
        self._key = keys.versions(record)

    def begin(self, write: str, longest: float) -> Call:
        """Note that a write begins. Reply: 1 where a subscription tells echoes of this record."""
        return self._call("begin", write, round(longest * 1000))

    def end(self, write: str, version: str | None, on: str) -> Call:
        """Note which version a write has made, None where that is not known, and on which one: see the script."""
        return self._call("end", write, version or "", on)

    def judge(self, subscription: str, attempt: str, version: str, longest: float, *, may_be_echo: bool) -> Call:
        """Ask whether a fetched version is an echo. Reply: Judged, as bytes."""
        return self._call("judge", subscription, attempt, version, round(longest * 1000), int(may_be_echo))

    def leave(self, subscription: str, attempt: str, version: str | None) -> Call:
        """Note that an attempt has ended, and which version it has handled; None for none."""
        return self._call("leave", subscription, attempt, version or "")

    def _call(self, verb: str, *args: str | int) -> Call:
        return Call(_script("echoes/versions"), (self._key,), (verb, KEPT, *args))
