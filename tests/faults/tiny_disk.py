"""A disk that is full at once, for the spool."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["tiny_disk"]


@contextmanager
def tiny_disk(directory: Path, size: int) -> Iterator[Mapping[str, str]]:
    """Make a folder that takes about `size` bytes; yield what the environment of those who write there must have.

    It is a file system of its own where one may be mounted; elsewhere the files of the processes are limited.
    """
    directory.mkdir(parents=True)
    if not _done("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)):
        yield {"FAULTS_FILE_SIZE": str(size)}
        return
    try:
        yield {}
    finally:
        _done("umount", "--lazy", str(directory))


def _done(program: str, *arguments: str) -> bool:
    path = shutil.which(program)
    return path is not None and subprocess.run([path, *arguments], capture_output=True, check=False).returncode == 0
