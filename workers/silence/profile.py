"""What is known of one subject's traffic, in bounded room: how likely something comes at each hour of the week.

A silence is measured by what should have come meanwhile: each hour adds the share of such hours in which something did
come. So a night or a weekend adds nothing to it where nights and weekends are quiet, and a full office day adds about
eight to that of a busy company, and half of one to that of a company that sends once in two weeks. The longest such gap
that a subject ever made is what it is judged by: it is silent when the present one is much longer.
"""

from array import array
from dataclasses import dataclass, field
from math import exp
from struct import Struct
from typing import Final

from router.store.watched.traffic import HOUR, Came
from workers.silence.week import CELLS

__all__ = ["Profile"]

_ONE: Final = 65_535
_HEAD: Final = Struct("<B3xIQIddddd")
_VERSION: Final = 1
_PRIOR: Final = 2.0
"""Weeks in which nothing came, as if they had been before the first: few weeks prove little."""
_RATE: Final = 0.1
"""How much the last week counts in the end: what is known is that of about ten weeks."""
_FADING: Final = 1 - 1 / (40 * CELLS)
"""What is left of the longest gap after each hour; a third of it after forty weeks."""
_GROWTH: Final = 1.5
"""How much longer one gap that was an incident makes the longest one: it may have been none."""
_FACTOR: Final = 2.0
"""How many times as long as the longest gap before it a silence is."""
_LATELY: Final = 3.0
"""Over about how many hours in which all companies send it is seen how many do."""
_MANY: Final = 20.0
"""Hours of companies from which on it says something that they send less: on a holiday that no calendar has."""
_FEW: Final = 0.7
_MOST_OF_THEM: Final = 0.95
_UNUSUAL: Final = 0.15
"""How much the hours count for a company while 70 % or less of what was expected of all comes; wholly from 95 %."""
_HALF: Final = 0.5
_DAYS: Final = 1.2
_LEAST: Final = 3.0
_MOST: Final = 12.0
_GAPS: Final = 10
_HOURS: Final = 14 * 24
"""Gaps, and hours of which it is known, before which nothing is a silence."""


def _cells() -> "array[int]":
    return array("H", bytes(2 * CELLS))


@dataclass(slots=True)
class Profile:
    """The traffic of one subject.

    began: the hour in which it was first seen, since 1970. last: when the last event came, epoch milliseconds. gaps:
    how many gaps it has made. gap: the present one, in hours in which something should have come. quiet: the seconds of
    it in which an ingress listened. longest: the longest gap before.
    """

    began: int
    last: int = 0
    gaps: int = 0
    gap: float = 0.0
    quiet: float = 0.0
    longest: float = 0.0
    expected: float = 0.0
    seen: float = 0.0
    cells: "array[int]" = field(default_factory=_cells)

    @classmethod
    def of(cls, text: bytes) -> "Profile | None":
        """Return what `packed` wrote; None for what it did not."""
        if len(text) != _HEAD.size + 2 * CELLS or text[0] != _VERSION:
            return None
        _, *head = _HEAD.unpack_from(text)
        profile = cls(*head)
        profile.cells.frombytes(text[_HEAD.size :])
        del profile.cells[:CELLS]
        return profile

    def packed(self) -> bytes:
        """Return it as bytes of a fixed length."""
        head = (self.began, self.last, self.gaps, self.gap, self.quiet, self.longest, self.expected, self.seen)
        return _HEAD.pack(_VERSION, *head) + self.cells.tobytes()

    def fold(self, hour: int, cell: int, came: Came | None, listened: float, usual: float, floor: float) -> None:
        """Take note of an hour that is over, of the place `cell` in its week.

        listened: which part of it. usual: how much of what was expected of all companies came lately, 1 or less.
        """
        due = self.share(cell) * listened * usual
        self.longest *= _FADING
        if came is None:
            silent = self.is_silent(self.gap, hour, floor)
            self.gap += due
            self.quiet += 3600 * listened
            if min(listened, usual) > _HALF and not silent:
                self._learn(hour, cell, 0)
            return
        self._end(self.gap + due / 2, hour, floor)
        self.last = came.last
        self.gap = due / 2
        self.quiet = max(0.0, ((hour + 1) * HOUR - came.last) / 1000) * listened
        self._learn(hour, cell, _ONE)

    def is_silent(self, gap: float, hour: int, floor: float) -> bool:
        """Return whether a gap in this hour is a silence; no gap below `floor` is, nor any before enough is known."""
        return self.is_known(hour) and gap >= self.threshold(floor)

    def is_known(self, hour: int) -> bool:
        """Return whether enough is known of it to be judged."""
        return self.gaps >= _GAPS and hour - self.began >= _HOURS

    def threshold(self, floor: float) -> float:
        """Return from when on a gap is a silence."""
        return max(floor, _FACTOR * self.longest)

    def share(self, cell: int) -> float:
        """Return in which part of these hours something comes."""
        return self.cells[cell] / _ONE

    def floor(self) -> float:
        """Return the shortest gap that is a silence, in hours in which something should have come.

        A day off is none, of a subject that sends at some hour on most days. Of others any gap may be chance.
        """
        if max(self.cells) < _HALF * _ONE:
            return _MOST
        day = max(sum(self.cells[start : start + 24]) for start in range(0, CELLS, 24)) / _ONE
        return min(_MOST, max(_LEAST, _DAYS * day))

    def count(self, expected: float, seen: float, companies: float) -> None:
        """Take note of how many companies of a publisher should have sent within an hour, and how many of them did."""
        kept = exp(-expected / max(_MANY, _LATELY * companies))
        self.expected = self.expected * kept + expected
        self.seen = self.seen * kept + seen

    def usual(self) -> float:
        """Return how much of what was expected of the companies of a publisher came lately, 1 or less."""
        share = self.seen / self.expected if self.expected >= _MANY / 2 else 1.0
        return min(1.0, max(_UNUSUAL, (share - _FEW) / (_MOST_OF_THEM - _FEW)))

    def _end(self, gap: float, hour: int, floor: float) -> None:
        most = self.threshold(floor)
        if self.is_known(hour) and gap >= most:
            gap = max(self.longest, most / _FACTOR) * _GROWTH
        self.longest = max(self.longest, gap)
        self.gaps = min(self.gaps + 1, 1_000_000)

    def _learn(self, hour: int, cell: int, seen: int) -> None:
        weeks = (hour - self.began) / CELLS
        rate = max(_RATE, 1 / (weeks + 1 + _PRIOR))
        self.cells[cell] += round((seen - self.cells[cell]) * rate)
