"""A place where objects are: a folder, or a bucket of S3."""

from collections.abc import AsyncIterator
from typing import IO, NamedTuple, Protocol

__all__ = ["Place", "Stored"]


class Stored(NamedTuple):
    """What is at a place: its name there, and how many bytes it has."""

    name: str
    size: int


class Place(Protocol):
    """Keeps objects by their names; every method raises ArchiveUnreachable where it cannot."""

    async def put(self, name: str, content: bytes) -> None:
        """Keep an object, in place of one of this name; once this returns it is durable. Never half of it is there."""

    async def open(self, name: str) -> IO[bytes]:
        """Open an object for reading: as it is now, whatever becomes of it. Raises Damaged where there is none."""

    def list(self, folder: str = "") -> AsyncIterator[Stored]:
        """Yield all that is in a folder and those below it, in no order."""

    async def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
