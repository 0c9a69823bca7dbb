"""The script of the quotas that all workers share, and what it says; limits/quota.lua tells how they work."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from router.store.keys import Keys
from router.store.scripts import Call, Script

__all__ = ["Heard", "Quota", "Standing"]

_script = cache(Script)


class Heard(NamedTuple):
    """What the answer to a call says of its quota; seconds, and None for what it does not say.

    closed: for how long the other side wants no calls. answered: whether it is an answer that should have had headers.
    """

    limit: int | None = None
    left: int | None = None
    ends_in: float | None = None
    closed: float | None = None
    answered: bool = True


class Standing(NamedTuple):
    """How a quota stands: whether the call may go; seconds to wait, None where an answer is awaited.

    ends_in: seconds until its window ends, 0 where nothing is known. workers: how many share it.
    """

    granted: bool
    wait: float | None
    limit: int
    left: int
    ends_in: float
    workers: int

    @classmethod
    def of(cls, reply: Sequence[int]) -> "Standing":
        """Return what the script replied."""
        granted, wait, limit, left, ends, workers = reply
        return cls(granted == 1, None if wait < 0 else wait / 1000, limit, left, ends / 1000, workers)


class Quota:
    """The quota of one subject; `window` in seconds, `rate` None where it is learnt from headers."""

    def __init__(self, keys: Keys, name: str, subject: str, window: float, rate: int | None) -> None:
        self.keys = (keys.quota(name, subject), keys.limited(name), keys.limited_by(name))
        self._subject = subject
        self._window = max(1, round(window * 1000))
        self._rate = rate or 0

    def take(self, worker: str, spent: int, reserve: float) -> Call:
        """Ask for one call; `reserve`: which part of the limit is to be left. Reply: see Standing."""
        return self._call("take", worker, spent, str(reserve))

    def learn(self, worker: str, spent: int, heard: Heard) -> Call:
        """Take note of what an answer said. Reply: see Standing."""
        numbers = [-1 if number is None else number for number in (heard.limit, heard.left)]
        ends = -1 if heard.ends_in is None else round(heard.ends_in * 1000)
        closed = 0 if heard.closed is None else max(1, round(heard.closed * 1000))
        return self._call("learn", worker, spent, *numbers, ends, closed, int(heard.answered))

    def _call(self, verb: str, worker: str, spent: int, *more: str | int) -> Call:
        args = (verb, self._subject, worker, self._window, self._rate, spent, *more)
        return Call(_script("limits/quota"), self.keys, args)
