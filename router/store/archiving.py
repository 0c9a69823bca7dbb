"""The scripts of the archive, and how far each stream is archived: beside the stream, under its hash tag."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from router.store.keys import Keys
from router.store.scripts import Call, Script

__all__ = ["Archiving", "Due"]

_script = cache(Script)


@dataclass(frozen=True, slots=True)
class Due:
    """What of a stream is to be archived next: the entries from `first` to `last`, behind `position`.

    Without `first` there is nothing. planned: it was begun before, so that the object has these entries and no others.
    overdue: for how long they should have been archived, milliseconds.
    """

    position: str
    first: str
    last: str
    planned: bool
    overdue: int

    @classmethod
    def parse(cls, reply: Sequence[Any]) -> "Due":
        """Read the reply of `Archiving.next`."""
        position, first, last = (part.decode() for part in reply[:3])
        return cls(position, first, last, bool(reply[3]), int(reply[4]))


class Archiving:
    """What is kept of the archive, and the scripts that change it."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def next(self, stream: str, window: int) -> Call:
        """Look what is to be archived of a stream whose events stay for `window` milliseconds. Reply: see `Due`."""
        return Call(_script("archive/next"), (self._keys.events(stream), self._keys.archived(stream)), (window,))

    def plan(self, stream: str, position: str, first: str, last: str) -> Call:
        """Settle the entries of the next object. Reply: 1, or 0 where something else was settled."""
        return Call(_script("archive/plan"), (self._keys.archived(stream),), (position, first, last))

    def confirm(self, stream: str, position: str, last: str, events: int) -> Call:
        """Say that the object is in the archive. Reply: 1, or 0 where that was said before."""
        return Call(_script("archive/confirm"), (self._keys.archived(stream),), (position, last, events))
