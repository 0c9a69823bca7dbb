"""Opening an object: it is looked through before anything of it is used, so that none is ever half read."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import islice
from typing import IO, Any, Final

from router.store.reading import order_of
from workers.archive import jsonl, parquet
from workers.archive.archive import Archive
from workers.archive.errors import Damaged
from workers.archive.line import Archived
from workers.archive.name import ObjectName

__all__ = ["Checked", "opened", "read_object"]

_READERS: Final[Mapping[str, Any]] = {jsonl.SUFFIX: jsonl.read, parquet.SUFFIX: parquet.read}
_PAGE: Final = 32


class Checked:
    """An object that is whole; `events` is how many it holds."""

    def __init__(self, name: ObjectName, file: IO[bytes], events: int) -> None:
        self.name = name
        self.events = events
        self._file = file
        self._entries: Iterator[Archived] | None = None

    async def page(self) -> list[Archived]:
        """Return the next entries; none at the end."""
        if self._entries is None:
            self._file.seek(0)
            self._entries = read_object(self.name, self._file)
        return await asyncio.to_thread(lambda entries: list(islice(entries, _PAGE)), self._entries)

    async def entries(self) -> AsyncIterator[Archived]:
        """Yield all entries, oldest first."""
        while page := await self.page():
            for entry in page:
                yield entry

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


@asynccontextmanager
async def opened(archive: Archive, name: ObjectName) -> AsyncIterator[Checked]:
    """Open an object and look through it; raises Damaged where it is not whole, and ArchiveUnreachable."""
    found = await open_checked(archive, name)
    try:
        yield found
    finally:
        found.close()


async def open_checked(archive: Archive, name: ObjectName) -> Checked:
    """Open an object likewise, to be closed by the caller."""
    file = await archive.place.open(str(name))
    try:
        return Checked(name, file, await asyncio.to_thread(_count, name, file))
    except BaseException:
        file.close()
        raise


def read_object(name: ObjectName, file: IO[bytes]) -> Iterator[Archived]:
    """Yield the entries of an object, as they come; raises Damaged, which may be at its end."""
    if name.suffix == parquet.SUFFIX:
        parquet.check_installed()
    entries: Iterator[Archived] = _READERS[name.suffix](file)
    return entries


def _count(name: ObjectName, file: IO[bytes]) -> int:
    """Read an object to its end; raises Damaged where it does not hold what it is named for."""
    before, number = (-1, 0), 0
    for entry in read_object(name, file):
        order = order_of(entry.entry_id)
        if entry.stream != name.stream or not name.holds(entry.entry_id):
            raise Damaged(f"it holds {entry.entry_id} of {entry.stream}, which its name does not say")
        if order <= before:
            raise Damaged(f"{entry.entry_id} stands in it out of order")
        before, number = order, number + 1
    return number
