"""What ends a command that takes the whole terminal: the key q, Ctrl-C or SIGTERM, each in order."""

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

_QUIT = {b"q", b"Q", b"\x04", b"\x1b"}  # also Ctrl-D and Escape


@contextmanager
def ending_by_key(quit_: asyncio.Event) -> Iterator[None]:
    """Set `quit_` when somebody wants to end; put the terminal back as it was afterwards."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, quit_.set)
    try:
        with _keys(quit_):
            yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


@contextmanager
def _keys(quit_: asyncio.Event) -> Iterator[None]:
    if not _is_ours():
        yield
        return
    number, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(number)

    def pressed() -> None:
        key = os.read(number, 64)
        if not key or (key[:1] in _QUIT and (len(key) == 1 or key[:1] != b"\x1b")):
            quit_.set()

    tty.setcbreak(number, termios.TCSADRAIN)
    loop.add_reader(number, pressed)
    try:
        yield
    finally:
        loop.remove_reader(number)
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def _is_ours() -> bool:
    """Return whether keys pressed at the terminal are for this process: it is not in the background of a shell."""
    try:
        return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False
