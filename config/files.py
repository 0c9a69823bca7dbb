"""Reading the files of an operator: regular ones of a bounded size, so that none can hold up or fill the process.

A named pipe or a terminal would be waited for, for ever where nobody writes; a device such as /dev/zero never ends.
"""

import errno
import os
import stat
from pathlib import Path
from typing import Final

LARGEST: Final = 4 * 1024 * 1024
"""Bytes of a file at most."""

_KINDS: Final = (
    (stat.S_ISDIR, errno.EISDIR, "Is a directory"),
    (stat.S_ISFIFO, errno.EINVAL, "a named pipe, and no regular file"),
    (stat.S_ISSOCK, errno.EINVAL, "a socket, and no regular file"),
)


def read_regular(path: Path) -> bytes:
    """Return what a regular file holds; raises OSError, also for any other kind of file and for one too large."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        check_regular(path, os.fstat(descriptor))
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(errno.EFBIG, f"larger than {LARGEST} bytes", str(path))
    return content


def check_regular(path: Path | str, found: os.stat_result) -> None:
    """Raise OSError, which says what it is, if a file is no regular one."""
    if stat.S_ISREG(found.st_mode):
        return
    for is_kind, number, words in _KINDS:
        if is_kind(found.st_mode):
            raise OSError(number, words, str(path))
    raise OSError(errno.EINVAL, "a device, and no regular file", str(path))
