"""A place where objects are: a folder, or a bucket of S3.

An object is written under another name first, and gets its own in one step, which fails where what was written is gone.
So who takes the archive over removes what others were writing: however long one of them was stopped, it replaces no
object any more.
"""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import IO, Final, NamedTuple, Protocol

__all__ = ["ABOUT", "PENDING", "Place", "Still", "Stored", "is_pending", "is_swept", "pending_name"]

ABOUT: Final = "about.txt"
"""The note that `doctor` writes, to try whether the archive takes it."""
PENDING: Final = "_pending"
"""The folder of what is being written; query engines pass over what begins with an underscore."""

Still = Callable[[], Awaitable[None]]
"""Raises where what was written is to get no name any more."""


def pending_name(name: str) -> str:
    """Return under which name an object is written first."""
    return f"{PENDING}/{secrets.token_hex(8)}.{name.rpartition('/')[2]}.part"


def is_pending(name: str) -> bool:
    """Return whether this is the name of an object that is being written."""
    return name.startswith(f"{PENDING}/")


def is_swept(name: str) -> bool:
    """Return whether what is being written goes in a sweep: all but the note of `doctor`, which has no lease."""
    return not name.endswith(f".{ABOUT}.part")


class Stored(NamedTuple):
    """What is at a place: its name there, and how many bytes it has."""

    name: str
    size: int


class Place(Protocol):
    """Keeps objects by their names; every method raises ArchiveUnreachable where it cannot."""

    async def put(self, name: str, content: bytes, still: Still) -> None:
        """Keep an object, in place of one of this name; once this returns it is durable. Never half of it is there.

        `still` is awaited when all of it is written, right before it gets its name. Raises Swept where it was removed
        meanwhile.
        """

    async def sweep(self) -> None:
        """Remove what is being written, and what killed processes left of that: none of it gets a name any more."""

    async def open(self, name: str) -> IO[bytes]:
        """Open an object for reading: as it is now, whatever becomes of it. Raises Damaged where there is none."""

    def list(self, folder: str = "") -> AsyncIterator[Stored]:
        """Yield all that is in a folder and those below it, in no order."""

    async def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
