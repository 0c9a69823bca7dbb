"""How often an event was deferred, since when and why: kept with it, so that it is not deferred for ever."""

from typing import NamedTuple

import msgspec

from workers.outcomes import DeferFor

__all__ = ["Deferrals", "deferred_again", "read_deferrals"]

_REASON = 200
_MOST = 1 << 53


class Deferrals(NamedTuple):
    """How often an event was deferred since it was last replayed; `since`: the first time, epoch milliseconds.

    excused: for how many milliseconds in all it waited for what is down, which does not count.
    """

    times: int
    since: int
    reason: str
    excused: int = 0

    def left(self, longest: float, now: float) -> float:
        """Return for how many seconds it may still be deferred, of `longest` in all; `now` in epoch seconds."""
        return min(longest, longest - (now - (self.since + self.excused) / 1000))


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
    known = 0 < found.times < _MOST and 0 <= found.since < _MOST and 0 <= found.excused < _MOST
    return found if known else None


def deferred_again(before: Deferrals | None, now: float, deferral: DeferFor) -> bytes:
    """Return the field of an event that is deferred at `now`, epoch seconds."""
    times, since, _, excused = before or Deferrals(0, round(now * 1000), "")
    if not deferral.bounded:
        excused += round(deferral.seconds * 1000)
    shown = deferral.reason.encode(errors="backslashreplace").decode()[:_REASON]
    return _encode(Deferrals(times + 1, since, shown, min(excused, _MOST - 1)))
