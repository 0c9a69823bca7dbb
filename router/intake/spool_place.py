"""The place of an open spool file: the next process that opens that path must find what we have written there.

Files that were deleted, replaced or moved can be written on for as long as they are open, and nobody finds it again.
"""

import os
from pathlib import Path

_LOG = "-wal"  # how SQLite calls the file that commits are written to first


class Place:
    """The file of an open database and its log, as they were when it was opened; both only grow in between."""

    def __init__(self, path: Path) -> None:
        self._files = (path, path.with_name(path.name + _LOG))
        self._directory = path.parent
        self._device = os.stat(path.parent).st_dev  # noqa: PTH116 - one look, as below
        self._known = [os.stat(file) for file in self._files]  # noqa: PTH116 - before and after each commit

    def fault(self, *, shrunk: bool = False) -> str:
        """Return what is wrong with the files at the path; an empty text where they are those that are open.

        `shrunk` where we have made them smaller ourselves.
        """
        for index, file in enumerate(self._files):
            try:
                found = os.stat(file)  # noqa: PTH116 - likewise
            except OSError as error:
                return f"{file} cannot be found ({error.strerror})"
            known = self._known[index]
            if (found.st_dev, found.st_ino) != (known.st_dev, known.st_ino):
                return f"{file} is another file now"
            if found.st_size < known.st_size and not shrunk:
                return f"{file} was cut from {known.st_size} to {found.st_size} bytes"
            self._known[index] = found
        return ""

    def is_same_disk(self) -> bool:
        """Return whether a new file in the directory would be on the disk that this one was put on.

        The folder of a disk that is gone is there as well, empty, on a disk that may be thrown away.
        """
        directory = self._directory
        while not directory.exists() and directory != directory.parent:
            directory = directory.parent
        return directory.stat().st_dev == self._device
