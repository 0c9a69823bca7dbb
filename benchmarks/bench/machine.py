"""How busy the machine was with something else while something was measured."""

import os
import time
from pathlib import Path

__all__ = ["TOO_BUSY", "Elsewhere"]

TOO_BUSY = 0.1
"""The part of the processors that others may use before figures are doubtful."""

_TICKS = os.sysconf("SC_CLK_TCK")


class Elsewhere:
    """Counts the processor time that neither this process nor those it has started and ended have used."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._used = _all() - _own()

    def part(self) -> float:
        """Return it as a part of what all processors could have done since; everything of ours has to have ended."""
        seconds = (time.monotonic() - self._since) * (os.cpu_count() or 1)
        return max(0.0, (_all() - _own() - self._used) / seconds)


def _all() -> float:
    """Return the seconds that all processes have used since the machine was started, without those of interrupts."""
    user, nice, system, *_ = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    return sum(map(int, (user, nice, system))) / _TICKS


def _own() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
