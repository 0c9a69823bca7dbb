"""How often an event was deferred, since when and why: kept with it, so that it is not deferred for ever."""

from typing import NamedTuple

import msgspec

__all__ = ["Deferrals", "deferred_again", "read_deferrals"]

_REASON = 200


class Deferrals(NamedTuple):
    """How often an event was deferred since it was last replayed; `since`: the first time, epoch milliseconds."""

    times: int
    since: int
    reason: str

    def left(self, longest: float, now: float) -> float:
        """Return for how many seconds it may still be deferred, of `longest` in all; `now` in epoch seconds."""
        return min(longest, longest - (now - self.since / 1000))


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Deferrals).decode


def read_deferrals(value: bytes | None) -> Deferrals | None:
    """Return what the field of an entry says; None for none, and for what is not in its form."""
    if not value:
        return None
    try:
        found = _decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return found if 0 < found.times < 1 << 53 and 0 <= found.since < 1 << 53 else None


def deferred_again(before: Deferrals | None, now: float, reason: str) -> bytes:
    """Return the field of an event that is deferred at `now`, epoch seconds."""
    times, since = (0, round(now * 1000)) if before is None else (before.times, before.since)
    shown = reason.encode(errors="backslashreplace").decode()[:_REASON]
    return _encode(Deferrals(times + 1, since, shown))
