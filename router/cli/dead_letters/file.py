"""The files of `dlq export` and `dlq import`: written whole or marked as partial, read line by line."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from config.errors import ConfigError, RouterError
from router.cli.command.stdio import OutputFailed
from router.telemetry.printable import printable_json

STANDARD: Final = "-"
"""What stands for stdin or stdout."""

LONGEST: Final = 2 * 1024**3
"""Bytes of a line: a server takes at most 1 GiB in one command, and JSON writes a body in at most twice its bytes."""

_AT_ONCE: Final = 64 * 1024 * 1024
"""Bytes of a line that are read before it is looked at."""

_PRIVATE = 0o600  # the bodies are somebody's business


class Incomplete(RouterError):
    """What was written is not all that was asked for."""


class Sink:
    """Takes lines; `name` says where they are until all of them are there."""

    def __init__(self, file: BinaryIO, name: str, path: Path | None = None) -> None:
        self._file = file
        self._is_terminal = file.isatty()
        self._path = path
        self.name = name
        self.is_whole = False

    def write(self, line: bytes) -> None:
        """Write a line; raises Incomplete where that is not possible any more."""
        if self._is_terminal:
            line = printable_json(line.decode()).encode()
        with _explained(self.name):
            self._file.write(line)

    def finish(self) -> None:
        """Have everything where it stays after a power failure, as far as it is a file, and under its name.

        Raises ConfigError where somebody else has made a file of that name meanwhile, which stays as it is.
        """
        with _explained(self.name):
            self._file.flush()
            with contextlib.suppress(OSError, ValueError) if self._path is None else contextlib.nullcontext():
                os.fsync(self._file.fileno())  # a pipe or a terminal has nothing to keep
            if self._path is not None:
                _give_name(Path(self.name), self._path)
        self.is_whole = True


@contextlib.contextmanager
def writing(file: str) -> Iterator[Sink]:
    """Yield what writes to a file, which gets its name when it is finished; raises ConfigError where it cannot be.

    Until then the lines are in a file of a name that nobody else has, in the same folder.
    """
    path = Path(file)
    if file == STANDARD:
        yield Sink(sys.stdout.buffer, "what was written to stdout")
    elif os.path.exists(path) and not path.is_file():  # noqa: PTH110 - False for a name that is too long, where Path raises
        with _opened(path, os.O_WRONLY) as opened:
            yield Sink(opened, f"what was written to {path}")
    else:
        if os.path.lexists(path):
            raise ConfigError(f"{path} exists already: name another file, or remove it")
        with _partial(path) as (opened, name):
            yield Sink(opened, name, path)


@contextlib.contextmanager
def _partial(path: Path) -> Iterator[tuple[BinaryIO, str]]:
    """Make a file beside another, for its owner alone; one in which nothing was written is removed again."""
    try:
        descriptor, name = _created(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be opened: {error.strerror}") from None
    file = os.fdopen(descriptor, "wb")
    try:
        yield file, name
    finally:
        with contextlib.suppress(OSError):  # what could not be written has been reported
            file.close()
        with contextlib.suppress(OSError):
            if not Path(name).stat().st_size:
                Path(name).unlink()


def _created(path: Path) -> tuple[int, str]:
    """Create `NAME.partial`, or one of another name where that is somebody else's; raises OSError."""
    name = f"{path}.partial"
    with contextlib.suppress(FileExistsError):
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), name
    return tempfile.mkstemp(prefix=f"{path.name}.", suffix=".partial", dir=path.parent)


def _give_name(partial: Path, path: Path) -> None:
    """Give a file its name, unless there is another of that name, and have the folder keep it."""
    try:
        try:
            os.link(partial, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE))
            partial.replace(path)
        else:
            partial.unlink()
    except FileExistsError:
        raise ConfigError(
            f"{path} exists by now: nothing of it was changed, and what was exported is {partial}"
        ) from None
    with contextlib.suppress(OSError):  # a folder that may not be read, a file system that does not do this
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextlib.contextmanager
def readable(file: str) -> Iterator[BinaryIO]:
    """Yield a file, or a copy of what can be read only once; raises ConfigError."""
    with contextlib.ExitStack() as stack:
        read = sys.stdin.buffer if file == STANDARD else stack.enter_context(_opened(Path(file), os.O_RDONLY))
        if file != STANDARD and read.seekable():
            yield read
            return
        copy = stack.enter_context(tempfile.TemporaryFile())
        shutil.copyfileobj(read, copy)
        yield copy


def numbered(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Yield the lines that are not blank with their numbers, from the first one on; None for one that is too long.

    A line takes as much memory as its dead letter needs; of a large file of another kind 64 MiB are kept at most.
    """
    file.seek(0)
    number = 0
    while line := file.readline(_AT_ONCE):
        number += 1
        if len(line) == _AT_ONCE and not line.endswith(b"\n"):
            yield number, _to_its_end(file, line)
        elif line.strip():
            yield number, line


def _to_its_end(file: BinaryIO, line: bytes) -> bytes | None:
    """Read the rest of a long line; return all of it, or None where it cannot be a dead letter."""
    parts, size, fits = [line], len(line), line.lstrip().startswith(b"{")
    while not parts[-1].endswith(b"\n") and (more := file.readline(_AT_ONCE)):
        size += len(more)
        fits = fits and size <= LONGEST
        parts = [*parts, more] if fits else [more]
    return b"".join(parts) if fits else None


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
        with contextlib.suppress(OSError):  # what could not be written has been reported
            file.close()


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except OutputFailed as error:
        error.is_said = True
        raise Incomplete(f"{name} is incomplete: {error.why}") from error
    except OSError as error:
        raise Incomplete(f"{name} is incomplete: {error.strerror or error}") from error
