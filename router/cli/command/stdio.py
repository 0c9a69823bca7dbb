"""Standard input, output and error as a command finds them: closed, full, broken, not read, or of an old alphabet.

What cannot be written raises OutputFailed, and no OSError: a store that is away raises those. It is raised once; what
is written after it goes nowhere, so that neither a `finally` nor the end of the interpreter fails again. Nobody can be
warned that standard error cannot be written, so that is no error at all.

To close or detach one of the two is to flush it: they are everybody's in the process, and an object that wraps one and
is freed would close it for all others.
"""

import codecs
import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Collection
from typing import Any, Final, NoReturn, cast

from config.errors import RouterError

_IN, _OUT, _ERR = range(3)
_PLAIN: Final = "event-router"
_INSTEAD: Final = {
    "…": "~",  # as wide as it is: other libraries have measured it before
    "─": "-",
    "→": "->",
    "\N{NO-BREAK SPACE}": " ",
    "\N{REPLACEMENT CHARACTER}": "?",
}
"""How an alphabet without them writes the characters that this package uses."""

_adopted_ones: dict[str, Any] = {}
"""The streams of this process as `adopt` left them, by their names in `sys`."""


class OutputFailed(RouterError):
    """Standard output takes nothing more, and `why`; `is_said` where the command says so in words of its own."""

    def __init__(self, error: OSError) -> None:
        self.why = f"standard output cannot be written ({error.strerror or error})"
        super().__init__(f"{self.why}: what it holds is incomplete")
        self.reader_is_gone = error.errno == errno.EPIPE
        self.is_said = False


class InputFailed(RouterError):
    """Standard input cannot be read."""


class _Raw(io.FileIO):
    """A descriptor that stays open; it waits also where others made the descriptor one that does not."""

    def close(self) -> None:
        """Stay open."""

    def __init__(self, descriptor: int, mode: str, *, missing: bool) -> None:
        super().__init__(descriptor, mode, closefd=False)
        self.missing = missing

    def _check(self) -> None:
        if self.missing:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def _write_all(self, data: Any) -> int:
        self._check()
        rest = memoryview(data).cast("B")
        while rest:
            written = cast("int | None", super().write(rest))
            if written is None:
                select.select((), (self,), ())
            else:
                rest = rest[written:]
        return memoryview(data).nbytes


class _Output(_Raw):
    failed: OutputFailed | None = None

    def write(self, data: Any) -> int:
        if self.failed is None:
            try:
                return self._write_all(data)
            except OSError as error:
                self.failed = OutputFailed(error)
                raise self.failed from error
        return memoryview(data).nbytes


class _Errors(_Raw):
    def write(self, data: Any) -> int:
        try:
            return self._write_all(data)
        except OSError:
            return memoryview(data).nbytes


class _Buffer(io.BufferedWriter):
    def close(self) -> None:
        self.flush()

    def detach(self) -> Any:
        self.flush()
        return self.raw


class _Text(io.TextIOWrapper):
    def close(self) -> None:
        self.flush()

    def detach(self) -> Any:
        self.flush()
        return self.buffer


class _Input(_Raw):
    def readinto(self, buffer: Any) -> int:
        while True:
            try:
                self._check()
                read = cast("int | None", super().readinto(buffer))
            except OSError as error:
                self._fail(error)
            if read is not None:
                return read
            select.select((self,), (), ())

    read = io.RawIOBase.read  # type: ignore[assignment] # by `readinto`; that of a FileIO reads by itself
    readall = io.RawIOBase.readall

    def _fail(self, error: OSError) -> NoReturn:
        raise InputFailed(
            f"standard input cannot be read ({error.strerror or error}): name a file, or give it one with `<`"
        ) from error


def open_closed() -> frozenset[int]:
    """Open /dev/null wherever one of the three standard descriptors is closed; return those.

    Called before anything else opens a file: a socket that got such a number would be written to, and event loops end
    the process when they find these closed.
    """
    closed = set()
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _ERR:
        os.set_inheritable(descriptor, True)
        closed.add(descriptor)
    os.close(descriptor)
    return frozenset(closed)


def adopt(closed: Collection[int]) -> None:
    """Have `sys.stdin`, `sys.stdout` and `sys.stderr` behave as this module says; `closed` were closed at the start.

    Streams that are no files of the system, as those of a test, are left as they are.
    """
    codecs.register_error(_PLAIN, _plain)
    if _IN in closed or _is_file(sys.stdin, _IN):
        encoding = sys.stdin.encoding if sys.stdin else "utf-8"
        errors = sys.stdin.errors if sys.stdin else "strict"
        raw = _Input(_IN, "r", missing=_IN in closed)
        sys.stdin = io.TextIOWrapper(io.BufferedReader(raw), encoding=encoding, errors=errors)
    sys.stdout = _adopted(sys.stdout, _Output(_OUT, "w", missing=_OUT in closed))
    sys.stderr = _adopted(sys.stderr, _Errors(_ERR, "w", missing=_ERR in closed), lines=True)
    _adopted_ones.update(stdout=sys.stdout, stderr=sys.stderr)


def put_back() -> None:
    """Have output and error be as `adopt` left them: code of users may have put anything in their place.

    What that holds is written, if that is possible.
    """
    while _adopted_ones:
        name, ours = _adopted_ones.popitem()
        if (theirs := getattr(sys, name)) is not ours:
            with contextlib.suppress(Exception):
                theirs.flush()
            setattr(sys, name, ours)


def _begin_anew() -> None:
    """Free the streams in a forked child: a thread of its parent may hold them, and what waits its parent writes."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # a handler's own, closed or detached
            buffer = stream.buffer
            if isinstance(buffer, io.BufferedWriter) and isinstance(raw := buffer.raw, _Raw):
                io.BufferedWriter.__init__(buffer, io.BytesIO())
                stream.flush()
                io.BufferedWriter.__init__(buffer, raw)


os.register_at_fork(after_in_child=_begin_anew)


def discard_if_closed() -> None:
    """Let a standard output that was closed at the start take everything: a process that stays does not need one."""
    if (raw := _output()) is not None:
        raw.missing = False


def failure() -> OutputFailed | None:
    """Return why standard output takes nothing more; None while it does."""
    raw = _output()
    return raw.failed if raw is not None else None


def shown_as(text: str, encoding: str | None) -> str:
    """Return a text as a stream of this encoding shows it, to be measured; an ellipsis is three points at the least."""
    codecs.register_error(_PLAIN, _plain)
    if text.isascii() or not encoding:
        return text
    ellipsis = "…" if "…".encode(encoding, "ignore") else "..."
    return text.replace("…", ellipsis).encode(encoding, _PLAIN).decode(encoding)


def _output() -> _Output | None:
    buffer = getattr(sys.stdout, "buffer", None)
    raw = getattr(buffer, "raw", None)
    return raw if isinstance(raw, _Output) else None


def _is_file(stream: Any, descriptor: int) -> bool:
    try:
        return bool(stream.fileno() == descriptor)
    except (AttributeError, OSError, ValueError):
        return False


def _adopted(before: Any, raw: _Raw, *, lines: bool = False) -> Any:
    """Return a text stream over `raw` like the one before it: with its alphabet, and flushed as often."""
    if not (raw.missing or _is_file(before, raw.fileno())):
        if isinstance(before, io.TextIOWrapper):
            before.reconfigure(errors=_PLAIN)
        return before
    encoding = _alphabet(raw, before.encoding if before else "utf-8")
    lines = lines or raw.isatty() or bool(before and before.write_through)
    return _Text(_Buffer(raw), encoding=encoding, errors=_PLAIN, line_buffering=lines)


def _alphabet(raw: _Raw, encoding: str) -> str:
    """Return the encoding of a stream; Python writes UTF-8 even where a terminal was said to know ASCII alone."""
    given = os.environ.get("PYTHONIOENCODING") or os.environ.get("PYTHONUTF8")
    locale = os.environ.get("LC_ALL") or os.environ.get("LANG")
    is_old = not given and sys.flags.utf8_mode and locale in ("C", "POSIX")
    return "ascii" if is_old and raw.isatty() else encoding


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    r"""Write a character that an alphabet does not have as one like it, else as `\x…`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    shown = "".join(_INSTEAD.get(letter) or letter.encode("ascii", "backslashreplace").decode() for letter in found)
    return shown, error.end
