"""The archive in a folder: of this machine, or of one that is mounted."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import IO, TypeVar

from config.errors import described
from workers.archive.errors import ArchiveUnreachable, Damaged, Swept
from workers.archive.place import PENDING, Still, Stored, is_pending, is_swept, pending_name

__all__ = ["Folder"]

T = TypeVar("T")


class Folder:
    """Keeps objects as files that only the user of the worker may read.

    The folder has to be there: where a file system is not mounted that is an error, and no folder full of events.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def put(self, name: str, content: bytes, still: Still) -> None:
        """Write a file and its folders to the disk; it appears under its name when it is whole."""
        part = self._path / pending_name(name)
        try:
            await self._do(lambda: self._write(part, content))
            await still()
            await self._do(lambda: self._rename(part, self._path / name))
        except Exception:  # who is cancelled does not wait for a disk: the next sweep removes it
            await self._do(lambda: part.unlink(missing_ok=True))
            raise

    async def sweep(self) -> None:
        """Remove what is being written: a file that is gone cannot be renamed."""
        await self._do(self._sweep)

    async def open(self, name: str) -> IO[bytes]:
        """Open a file."""
        try:
            return await self._do(lambda: (self._path / name).open("rb"))
        except ArchiveUnreachable as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise Damaged("it is not there any more") from None
            raise

    async def list(self, folder: str = "") -> AsyncIterator[Stored]:
        """Yield what is there, without what is being written."""
        for found in await self._do(lambda: [*self._list(folder)]):
            yield found

    async def remove(self, name: str) -> None:
        """Remove a file."""
        await self._do(lambda: self._remove(name))

    async def _do(self, what: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(what)
        except OSError as error:
            why = error.strerror or described(error)
            raise ArchiveUnreachable(f"{error.filename or self._path}: {why}") from error

    def _write(self, part: Path, content: bytes) -> None:
        self._make(part.parent)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def _rename(self, part: Path, path: Path) -> None:
        self._make(path.parent)
        try:
            part.replace(path)
        except FileNotFoundError:
            if not part.exists():
                raise Swept(f"{part} was removed before it became {path.name}") from None
            raise
        _settle(path.parent)

    def _sweep(self) -> None:
        for part in (self._path / PENDING).glob("*"):
            if is_swept(part.name):
                part.unlink(missing_ok=True)

    def _make(self, folder: Path) -> None:
        """Make the folders of an object below our own, each on the disk before what is in it."""
        if folder.is_dir():
            return
        if folder == self._path:
            raise FileNotFoundError(2, "there is no such folder; make it, or mount what holds it", str(folder))
        self._make(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        _settle(folder.parent)

    def _list(self, folder: str) -> Iterator[Stored]:
        if not self._path.is_dir():
            raise FileNotFoundError(2, "there is no such folder; make it, or mount what holds it", str(self._path))
        for path in sorted((self._path / folder).rglob("*")):
            name = path.relative_to(self._path).as_posix()
            if path.is_file() and not is_pending(name):
                yield Stored(name, path.stat().st_size)

    def _remove(self, name: str) -> None:
        path = self._path / name
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            _settle(path.parent)


def _settle(folder: Path) -> None:
    """Write the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
