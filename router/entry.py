"""What ingress wants stored, and who waits for it."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from router.scripts import Field

__all__ = ["Entry", "Waiting"]


class Entry(NamedTuple):
    """One item to append: where to, under which deduplication marker, and the fields of its entry."""

    stream: str
    marker: str
    fields: tuple[Field, ...]
    size: int


class Waiting(NamedTuple):
    """A request: its entries, and a future of one flag for each, True where it is new."""

    entries: Sequence[Entry]
    done: asyncio.Future[list[bool]]

    def stored(self, flags: Sequence[object]) -> None:
        """Answer it, unless it has given up."""
        if not self.done.done():
            self.done.set_result([bool(flag) for flag in flags])

    def failed(self, error: Exception) -> None:
        """Tell it why not all of its entries are stored, unless it has given up."""
        if not self.done.done():
            self.done.set_exception(error)
