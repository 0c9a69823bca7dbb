"""The script of the breakers that all workers share, and what it says; breakers/breaker.lua tells how they work."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from router.store.keys import Keys
from router.store.scripts import Call, Script

__all__ = ["Circuit", "Position"]

_script = cache(Script)


class Position(NamedTuple):
    """How a breaker stands; seconds.

    goes: whether the call that was asked for may go, or what is heard of a call says anything of this turn. wait: until
    the next probe may go. open_for: since it opened. turned: whether this opened or closed it.
    """

    goes: bool
    turn: int
    open: bool
    wait: float
    open_for: float
    turned: bool
    failures: int

    @classmethod
    def of(cls, reply: Sequence[int]) -> "Position":
        """Return what the script replied."""
        goes, turn, is_open, wait, open_for, turned, failures = reply
        return cls(goes == 1, turn, is_open == 1, wait / 1000, open_for / 1000, turned == 1, failures)


class Circuit:
    """One breaker in the store: `failures` in a row open it, `interval` in seconds. Replies of calls: see Position."""

    def __init__(self, keys: Keys, name: str, failures: int, interval: float) -> None:
        self.key = keys.breaker(name)
        self._terms = (failures, max(1, round(interval * 1000)))

    def take(self) -> Call:
        """Ask whether a call may go."""
        return self._call("take")

    def succeeded(self, turn: int) -> Call:
        """Take note that a call which went in this turn succeeded."""
        return self._call("succeeded", turn)

    def failed(self, turn: int, reason: str) -> Call:
        """Take note that a call which went in this turn failed."""
        return self._call("failed", turn, reason)

    def _call(self, verb: str, turn: int = -1, reason: str = "") -> Call:
        return Call(_script("breakers/breaker"), (self.key,), (verb, *self._terms, turn, reason))
