"""Tells when the machine, not a fault, kept a process from running: too many want to run on too few processors.

A worker that is not let run for as long as its lease loses it. That is how it should be, and no fault of the router.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from faults.happening import STARVED, Happening
from faults.member import Member

__all__ = ["watch_starvation"]

_LOOK = 0.25
_SHARE = 0.4
"""The share of the time that a process may have to wait for a processor."""


async def watch_starvation(members: Sequence[Member], note: Callable[[Happening], None]) -> None:
    """Note every time for which one of these was starved, when it begins, until cancelled."""
    before = {member.name: _Wait.of(member) for member in members}
    starving: dict[str, Happening] = {}
    while True:
        await asyncio.sleep(_LOOK)
        for member in members:
            now, last = _Wait.of(member), before[member.name]
            before[member.name] = now
            if now.pid != last.pid or now.seconds - last.seconds < _SHARE * (now.at - last.at):
                starving.pop(member.name, None)
                continue
            if member.name not in starving:
                starving[member.name] = Happening(STARVED, member.name, last.at, cut_off={now.pid})
                note(starving[member.name])
            starving[member.name].ended = now.at


class _Wait:
    """For how long a process has waited for a processor up to now; 0 where the system does not tell."""

    def __init__(self, pid: int, at: float, seconds: float) -> None:
        self.pid, self.at, self.seconds = pid, at, seconds

    @classmethod
    def of(cls, member: Member) -> "_Wait":
        try:
            waited = int(Path(f"/proc/{member.pid}/schedstat").read_text().split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            waited = 0.0
        return cls(member.pid, time.monotonic(), waited)
