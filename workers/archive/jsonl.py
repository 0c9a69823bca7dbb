"""Objects as JSON lines, compressed with gzip: what every tool and every version of Python can read.

The same entries give the same bytes: the header holds no time and no name.
"""

import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, Final

from workers.archive.errors import Damaged
from workers.archive.line import Archived, read_line, write_line

__all__ = ["SUFFIX", "JsonLines", "read"]

SUFFIX: Final = "jsonl.gz"

_LEVEL: Final = 6
_LONGEST: Final = 256 * 1024 * 1024  # bytes of a line: a foreign object may have no end of line at all


class JsonLines:
    """Writes one object, in memory."""

    suffix = SUFFIX

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._file = gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=self._buffer, mtime=0)

    def add(self, entries: Sequence[Archived]) -> int:
        """Add entries; return how many bytes they are before compression."""
        lines = b"".join(write_line(entry) + b"\n" for entry in entries)
        return self._file.write(lines)

    def finish(self) -> bytes:
        """Return the object."""
        self._file.close()
        return self._buffer.getvalue()


def read(file: IO[bytes]) -> Iterator[Archived]:
    """Yield the entries of an object; raises Damaged where it ends early or holds something else."""
    number = 0
    if not file.read(1):
        raise Damaged("it is empty")
    file.seek(0)
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as lines:
            while line := lines.readline(_LONGEST):
                number += 1
                yield read_line(line)
    except (OSError, EOFError, zlib.error) as error:
        raise Damaged(f"it is no whole gzip file ({error})") from None
    except (ValueError, RecursionError) as error:
        raise Damaged(f"line {number} is no archived event ({error})") from None
