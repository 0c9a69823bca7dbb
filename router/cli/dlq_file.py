"""The files of `dlq export` and `dlq import`: written whole or told to be partial, read line by line."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from config.errors import ConfigError, RouterError
from router.cli.stdio import OutputFailed

__all__ = ["STANDARD", "Incomplete", "Sink", "numbered", "readable", "writing"]

STANDARD: Final = "-"
"""What stands for stdin or stdout."""

LONGEST: Final = 64 * 1024 * 1024
"""Bytes of a line; whoever reads a longer one reads no export."""

_PRIVATE = 0o600  # the bodies are somebody's business


class Incomplete(RouterError):
    """What was written is not all that was asked for."""


class Sink:
    """Takes lines; `name` says where they are until all of them are there."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self.name = name

    def write(self, line: bytes) -> None:
        """Write a line; raises Incomplete where that is not possible any more."""
        with _told(self.name):
            self._file.write(line)

    def finish(self) -> None:
        """Have everything where it stays after a power failure, as far as it is a file."""
        with _told(self.name):
            self._file.flush()
            with contextlib.suppress(OSError, ValueError):  # a pipe, a terminal
                os.fsync(self._file.fileno())


@contextlib.contextmanager
def writing(file: str) -> Iterator[Sink]:
    """Yield what writes to a file, which gets its name when all is written; raises ConfigError where it cannot be."""
    path = Path(file)
    if file == STANDARD:
        sink = Sink(sys.stdout.buffer, "what was written to stdout")
        yield sink
        sink.finish()
    elif path.exists() and not path.is_file():
        with _opened(path, os.O_WRONLY) as opened:
            yield (sink := Sink(opened, f"what was written to {path}"))
            sink.finish()
    else:
        if path.exists():
            raise ConfigError(f"{path} exists already: name another file, or remove it")
        partial = path.with_name(f"{path.name}.partial")
        with _opened(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as opened:
            yield (sink := Sink(opened, str(partial)))
            sink.finish()
        with _told(str(partial)):
            partial.rename(path)


@contextlib.contextmanager
def readable(file: str) -> Iterator[BinaryIO]:
    """Yield a file, or a copy of what can be read only once; raises ConfigError."""
    if file == STANDARD:
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
            yield copy
        return
    with _opened(Path(file), os.O_RDONLY) as opened:
        if opened.seekable():
            yield opened
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(opened, copy)
            yield copy


def numbered(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Yield the lines that are not blank with their numbers, from the first one on; None for one that is too long."""
    file.seek(0)
    number = 0
    while line := file.readline(LONGEST):
        number += 1
        if len(line) == LONGEST and not line.endswith(b"\n"):
            while (rest := file.readline(LONGEST)) and not rest.endswith(b"\n"):
                pass
            yield number, None
        elif line.strip():
            yield number, line


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[BinaryIO]:
    try:
        descriptor = os.open(path, flags, _PRIVATE)
        file = os.fdopen(descriptor, "wb" if flags & os.O_WRONLY else "rb")
    except OSError as error:
        raise ConfigError(f"{path} cannot be opened: {error.strerror}") from None
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):  # what could not be written has been told
            file.close()


@contextlib.contextmanager
def _told(name: str) -> Iterator[None]:
    try:
        yield
    except OutputFailed as error:
        error.is_said = True
        raise Incomplete(f"{name} is incomplete: {error}") from error
    except OSError as error:
        raise Incomplete(f"{name} is incomplete: {error.strerror or error}") from error
