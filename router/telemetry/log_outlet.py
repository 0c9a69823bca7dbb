"""Where log lines leave the process: code that logs never waits for a reader.

A line goes out at once if that takes no waiting; else a thread of its own writes it when there is room. What does not
fit is counted, and said when there is room again. A pipe, a terminal or a socket is shared with other processes, so
that it must not be made non-blocking for all of them: a pipe or terminal is opened once more instead.

The descriptor is duplicated: code of users may close the standard ones, and a number that is free is soon given to a
connection, which the log must not be written to.
"""

import contextlib
import fcntl
import os
import select
import socket
import stat
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

MOST: Final = 1024 * 1024
"""Bytes of lines that wait at most."""
FLUSH: Final = 2.0
"""Seconds that the end of the process waits at most for a reader."""

_CHUNK = 4096  # bytes that a pipe takes as a whole
_POLL = 1000  # milliseconds
_STANDARD = 3  # descriptors

Notice = Callable[[int], bytes]


class LogOutlet:
    """Writes lines to what a descriptor leads to; `notice` makes the line that says how many were dropped."""

    def __init__(self, descriptor: int, notice: Notice, *, most: int = MOST) -> None:
        self._descriptor = _own(descriptor)
        self._notice = notice
        self._most = most
        self._at_once = _writer(self._descriptor)
        self._changed = threading.Condition(threading.RLock())
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._dropped = 0
        self._closed = False
        self._thread: threading.Thread | None = None
        _outlets.add(self)

    def write(self, line: bytes) -> None:
        """Write a line, now or later; never waits and never raises."""
        if sys.is_finalizing():
            self._write_last(line)
            return
        with self._changed:
            if self._closed:  # by code of users that set up logging, and that is taken back
                self._closed, self._at_once = False, self._at_once or _writer(self._descriptor)
            if not self._waiting and self._at_once is not None:
                line = self._try(self._said() + line)
            if not line:
                return
            if self._waiting and (self._dropped or self._size + len(line) > self._most):  # one gap, where it is said
                self._dropped += 1
                return
            self._put(line)

    def flush(self, seconds: float = FLUSH) -> None:
        """Wait until all is written, but no longer than so many seconds."""
        deadline = time.monotonic() + seconds
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, max(0.0, deadline - time.monotonic()))

    def close(self) -> None:
        """Write what waits, as `flush` does, and let go of the thread, and of what was opened if all is written.

        Lines that come later are written all the same.
        """
        self.flush()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            if self._at_once is not None and not self._waiting:
                with contextlib.suppress(OSError):
                    self._at_once.close()
                self._at_once = None

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):  # it could not be made
            os.close(self._descriptor)
            if self._at_once is not None:
                self._at_once.close()

    def _write_last(self, line: bytes) -> None:
        """Write a line of an object that is freed with the interpreter: no thread runs or ends any more."""
        with contextlib.suppress(OSError, ValueError):
            if select.select((), (self._descriptor,), (), 0)[1]:
                os.write(self._descriptor, line[:_CHUNK])

    def _try(self, line: bytes) -> bytes:
        """Write as much as there is room for; return the rest, which is empty where nobody will ever take it."""
        assert self._at_once is not None
        try:
            return line[self._at_once.write(line) :]
        except BlockingIOError:
            return line
        except OSError:
            self._dropped += 1
            return b""

    def _said(self) -> bytes:
        """Return the line about those that were dropped, once."""
        if not self._dropped:
            return b""
        dropped, self._dropped = self._dropped, 0
        return self._notice(dropped)

    def _put(self, line: bytes) -> None:
        self._waiting.append(line)
        self._size += len(line)
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _write_all(self) -> None:
        """Write what waits, until the outlet is closed and nothing does."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting) or self._closed)
                if not self._waiting:
                    self._thread = None
                    return
                line, writer = self._waiting[0], self._at_once
            written = self._write_some(line, writer)
            with self._changed:
                self._advance(line, written)

    def _write_some(self, line: bytes, writer: "_Writer | None") -> int | None:
        """Write a part of a line, waiting for room; return its length, None where nobody takes it."""
        try:
            poll = select.poll()
            poll.register(self._descriptor, select.POLLOUT)
            poll.poll(_POLL)
            return writer.write(line) if writer is not None else os.write(self._descriptor, line[:_CHUNK])
        except BlockingIOError:
            return 0
        except (OSError, ValueError):
            return None

    def _advance(self, line: bytes, written: int | None) -> None:
        """Take note of what is written of the first line, unless it is gone since."""
        if not self._waiting or self._waiting[0] is not line:
            return
        self._size -= len(line) if written is None else written
        if written is not None and written < len(line):
            self._waiting[0] = line[written:]
            return
        self._waiting.popleft()
        if written is None:
            self._dropped += 1  # said before the next line that somebody takes: a notice would not be taken either
        elif not self._waiting and (said := self._said()):
            self._waiting.append(said)
            self._size += len(said)
        if not self._waiting:
            self._changed.notify_all()

    def start_again(self) -> None:
        """Begin again in a forked child: what waits is written by its parent, whose threads it does not have."""
        self._changed = threading.Condition(threading.RLock())
        self._waiting.clear()
        self._size = self._dropped = 0
        self._thread = None


class _Writer(NamedTuple):
    """Writes to a descriptor that does not block, or to a file, where nothing has to be waited for.

    `write` returns the length of what there was room for; it raises OSError, BlockingIOError where there is none.
    """

    write: Callable[[bytes], int]
    close: Callable[[], None] = lambda: None


def _own(descriptor: int) -> int:
    """Return a duplicate of a descriptor that is none of the standard ones; raises OSError where it is not open."""
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _STANDARD)


def _writer(descriptor: int) -> _Writer | None:
    """Return what writes to a descriptor without waiting; None where that is not possible."""
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISSOCK(mode):
            own = socket.socket(fileno=os.dup(descriptor))
            return _Writer(lambda line: own.send(line, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL), own.close)
        if stat.S_ISFIFO(mode) or os.isatty(descriptor):
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            again = os.open(f"/proc/self/fd/{descriptor}", flags)
            return _Writer(partial(os.write, again), partial(os.close, again))
        return _Writer(partial(os.write, descriptor))
    except OSError:  # no /proc, somebody else's terminal, a pipe without a reader
        return None


def _start_all_again() -> None:
    for outlet in list(_outlets):
        outlet.start_again()


_outlets = weakref.WeakSet[LogOutlet]()
os.register_at_fork(after_in_child=_start_all_again)
