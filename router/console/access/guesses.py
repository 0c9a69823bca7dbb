"""Slows down clients that guess at the token."""

import time
from collections import OrderedDict
from collections.abc import Callable

_FREE = 4  # wrong answers before anybody has to wait: slips of the pen
_LONGEST = 300.0  # seconds
_REMEMBERED = 1000  # addresses


class Guesses:
    """Counts the wrong answers of each address; after a few the wait doubles with every further one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait(self, address: str) -> float:
        """Return how many seconds an address has to wait before it may answer again; 0 for none."""
        _, until = self._wrong.get(address, (0, 0.0))
        return max(0.0, until - self._clock())

    def wrong(self, address: str) -> None:
        """Note a wrong answer."""
        number = self._wrong.pop(address, (0, 0.0))[0] + 1
        wait = min(_LONGEST, 2.0 ** min(number - _FREE, 10)) if number > _FREE else 0.0
        self._wrong[address] = (number, self._clock() + wait)
        while len(self._wrong) > _REMEMBERED:
            self._wrong.popitem(last=False)

    def right(self, address: str) -> None:
        """Forget the wrong answers of an address that knew it at last."""
        self._wrong.pop(address, None)
