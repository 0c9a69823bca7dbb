"""Logging never waits for the reader of the log: what does not fit is counted, and said later."""

import contextlib
import fcntl
import json
import logging
import os
import pty
import socket
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import structlog

from router.telemetry import log_outlet, logs
from router.telemetry.log_handler import OutletHandler
from router.telemetry.log_outlet import LogOutlet

LINE = b"x" * 99 + b"\n"
PIPE = 4096


class Ends(NamedTuple):
    """The two ends of what a log is written to, and how the reader reads."""

    reader: int
    writer: int
    opened: bool


def _pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE)
    return reader, writer


def _socket() -> tuple[int, int]:
    one, other = socket.socketpair()
    other.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIPE)
    return one.detach(), other.detach()


def _terminal() -> tuple[int, int]:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    return ours, theirs


@pytest.fixture(params=["pipe", "socket", "terminal", "not opened again"])
def ends(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ends]:
    """Yield the ends of a pipe, a socket, a terminal, and a pipe that only a thread can write to."""
    opened = request.param != "not opened again"
    if not opened:
        monkeypatch.setattr(log_outlet, "_writer", lambda _: None)
    make = {"socket": _socket, "terminal": _terminal}.get(request.param, _pipe)
    reader, writer = make()
    yield Ends(reader, writer, opened)
    for descriptor in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def read_until(descriptor: int, enough: Callable[[bytes], bool]) -> bytes:
    """Read until enough was read."""
    read = b""
    while not enough(read):
        read += os.read(descriptor, 65_536)
    return read


def notice(count: int) -> bytes:
    """Return the line that says how many were dropped."""
    return f"dropped {count}\n".encode()


def test_nobody_reads(ends: Ends) -> None:
    """Writing never waits; what fits is there in order once somebody reads, then how many lines are not."""
    outlet = LogOutlet(ends.writer, notice, most=10_000)
    lines = [b"%099d\n" % number for number in range(2000)]
    begun = time.monotonic()
    for line in lines:
        outlet.write(line)
    assert time.monotonic() - begun < 5
    read = read_until(ends.reader, lambda read: b"dropped" in read and read.endswith(b"\n"))
    *written, said = read.splitlines(keepends=True)
    assert written == lines[: len(written)]
    assert said == notice(len(lines) - len(written))
    outlet.write(b"later\n")
    assert read_until(ends.reader, lambda read: read.endswith(b"\n")) == b"later\n"
    outlet.close()


def test_all_is_written_where_somebody_reads(ends: Ends) -> None:
    """A reader that is slower than the log misses nothing that fits, and no line comes before another."""
    lines = [b"%0200d\n" % number for number in range(3000)]
    outlet = LogOutlet(ends.writer, notice)
    found: list[bytes] = []
    size = sum(map(len, lines))
    reading = threading.Thread(target=lambda: found.append(read_until(ends.reader, lambda read: len(read) >= size)))
    reading.start()
    for line in lines:
        outlet.write(line)
    reading.join(30)
    assert b"".join(found) == b"".join(lines)
    outlet.close()


def test_the_end_waits_for_a_reader_but_not_for_long(ends: Ends) -> None:
    """At the end of the process what waits is written if somebody reads; nobody is waited for longer than a bound."""
    outlet = LogOutlet(ends.writer, notice)
    for _ in range(1000):
        outlet.write(LINE)
    begun = time.monotonic()
    outlet.flush(0.2)
    assert 0.1 < time.monotonic() - begun < 5
    reading = threading.Thread(target=lambda: read_until(ends.reader, lambda read: len(read) >= 1000 * len(LINE)))
    reading.start()
    outlet.flush(30)
    reading.join(30)
    assert not outlet._waiting
    outlet.close()


def test_others_that_share_the_descriptor_still_wait(ends: Ends) -> None:
    """The descriptor of the process itself blocks as before: shells and children share it."""
    outlet = LogOutlet(ends.writer, notice)
    outlet.write(LINE)
    assert os.get_blocking(ends.writer)
    outlet.flush()
    outlet.close()


def test_a_reader_that_is_gone() -> None:
    """Where nobody will ever read, lines go nowhere and nothing is raised."""
    reader, writer = os.pipe()
    outlet = LogOutlet(writer, notice)
    os.close(reader)
    for _ in range(100):
        outlet.write(LINE)
    outlet.flush()
    assert not outlet._waiting
    outlet.close()
    os.close(writer)


def test_a_reader_that_goes_while_lines_wait() -> None:
    """The thread that waited for room ends its work: it does not try for ever to say what was dropped."""
    reader, writer = _pipe()
    outlet = LogOutlet(writer, notice)
    for _ in range(1000):
        outlet.write(LINE)
    os.close(reader)
    outlet.flush(30)
    assert not outlet._waiting
    assert outlet._dropped
    outlet.close()
    os.close(writer)


@pytest.fixture
def stranger() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield a connection of somebody else: one end that may get any number, and one that reads what it is sent."""
    one, other = socket.socketpair()
    other.setblocking(False)
    with one, other:
        yield one, other


def test_the_log_goes_on_when_its_descriptor_is_closed(
    ends: Ends, stranger: tuple[socket.socket, socket.socket]
) -> None:
    """Who closes standard error closes only that: lines go where they went, and not to who gets the number next."""
    outlet = LogOutlet(ends.writer, notice)
    os.dup2(stranger[0].fileno(), ends.writer)
    outlet.write(LINE)
    assert read_until(ends.reader, lambda read: read.endswith(b"\n")) == LINE
    with pytest.raises(BlockingIOError):
        stranger[1].recv(1)
    outlet.close()


def test_an_outlet_that_is_freed_leaves_nothing_open(tmp_path: Path) -> None:
    """Logging that is set up anew, again and again, takes no more descriptors each time."""
    with (tmp_path / "log").open("ab") as file:
        before = os.listdir("/proc/self/fd")  # noqa: PTH208 - numbers, not paths
        for _ in range(9):
            LogOutlet(file.fileno(), notice).close()
        assert os.listdir("/proc/self/fd") == before  # noqa: PTH208 - likewise


def test_a_disk_that_was_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that a file did not take are counted, and that is said before the next one that it takes."""
    file = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    outlet = LogOutlet(file, notice)
    outlet.write(b"one\n")
    with monkeypatch.context() as full:
        full.setattr(log_outlet._Writer, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        outlet.write(b"two\n")
    outlet.write(b"three\n")
    assert (tmp_path / "log").read_bytes() == b"one\ndropped 1\nthree\n"
    outlet.close()
    os.close(file)


def test_a_file_is_written_at_once_and_at_its_end(tmp_path: Path) -> None:
    """What a file holds already stays, and a line is there when the call returns."""
    (tmp_path / "log").write_bytes(b"before\n")
    file = os.open(tmp_path / "log", os.O_WRONLY | os.O_APPEND)
    outlet = LogOutlet(file, notice)
    outlet.write(LINE)
    assert (tmp_path / "log").read_bytes() == b"before\n" + LINE
    outlet.close()
    os.close(file)


def test_a_forked_child_logs_its_own_lines(ends: Ends) -> None:
    """A child made by fork writes what it logs, and nothing that its parent has not written yet."""
    outlet = LogOutlet(ends.writer, notice, most=1_000_000)
    outlet.write(b"parent\n")
    outlet.flush()
    held = threading.Event()
    release = threading.Event()

    def hold() -> None:
        with outlet._changed:
            held.set()
            release.wait(30)

    holding = threading.Thread(target=hold)
    holding.start()
    held.wait(30)
    if not (child := os.fork()):
        outlet.write(b"child\n")
        outlet.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    release.set()
    holding.join(30)
    assert read_until(ends.reader, lambda read: b"child" in read) == b"parent\nchild\n"
    outlet.close()


@pytest.fixture
def handler() -> Iterator[tuple[OutletHandler, int]]:
    """Yield the handler of our logging on a small pipe, and the end to read from."""
    reader, writer = _pipe()
    root = logging.getLogger()
    level = root.level
    logs.configure(format="json")
    (ours,) = logs._ours()
    handler = OutletHandler(writer, "utf-8")
    handler.setFormatter(ours.formatter)
    handler.name = ours.name
    logs._install(handler, logging.INFO)
    yield handler, reader
    logs._ours()
    root.removeHandler(handler)
    handler.close()
    root.setLevel(level)
    structlog.reset_defaults()
    for descriptor in (reader, writer):
        os.close(descriptor)


def test_lines_of_all_loggers(handler: tuple[OutletHandler, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's handler that logs, by structlog or the standard library, waits for nobody either; the loss is said."""
    _, reader = handler
    monkeypatch.setattr(handler[0]._outlet, "_most", 20_000)
    logs.bind({"event_id": "secret of another"})
    for number in range(1000):
        structlog.get_logger("mine").warning("from structlog", number=number)
        logging.getLogger("mine").warning("from logging")
    read = read_until(reader, lambda read: b"log_lines_dropped" in read and read.endswith(b"\n"))
    logs.bind({})
    *lines, said = [json.loads(line) for line in read.splitlines()]
    assert said["count"] == 2000 - len(lines)
    assert said["level"] == "warning"
    assert "event_id" not in said


class Unreadable:
    """A value that cannot be shown."""

    def __repr__(self) -> str:
        """Fail."""
        raise ValueError


def test_a_line_that_cannot_be_rendered(handler: tuple[OutletHandler, int]) -> None:
    """It is replaced by one that says whose it was: what logs goes on, and no traceback shows what it held."""
    _, reader = handler
    for message, values in (("%d", (1, 2)), ("%r", (Unreadable(),))):
        handler[0].handle(logging.LogRecord("mine", logging.WARNING, "", 0, message, values, None))
    read = read_until(reader, lambda read: read.count(b"\n") == 2)
    found = [json.loads(line) for line in read.splitlines()]
    assert [(line["event"], line["of"], line["error"]) for line in found] == [
        ("log_line_unreadable", "mine", "TypeError"),
        ("log_line_unreadable", "mine", "ValueError"),
    ]


def test_what_is_logged_with_the_end_of_the_interpreter_waits_for_no_thread() -> None:
    """An object that logs when it is freed last of all does not keep the process: no thread would write its line."""
    script = r"""
from router.telemetry import logs
logs.configure("info", "json")

class Last:
    def __del__(self):
        self.outlet.write(b"last\n")

import logging
outlet = next(handler for handler in logging.getLogger().handlers if handler.name == "event-router")._outlet
last = Last()
last.outlet, last.myself = outlet, last
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr.split()[-1]) == (0, b"last")


def test_a_closed_outlet_leaves_no_thread(ends: Ends) -> None:
    """Logging that is set up anew does not leave the thread of the one before behind."""
    outlet = LogOutlet(ends.writer, notice)
    outlet.write(LINE * (PIPE // len(LINE) + 1))  # more than there is room for: a thread writes the rest
    read_until(ends.reader, lambda found: len(found) > PIPE)
    outlet.flush()
    thread = outlet._thread
    outlet.close()
    if thread is not None:
        thread.join(30)
        assert not thread.is_alive()
    assert outlet._thread is None
