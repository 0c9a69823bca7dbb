"""What ends a command that takes the whole terminal: the key q, Ctrl-C or SIGTERM, each in order."""

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_QUIT = {b"q", b"Q", b"\x04", b"\x1b"}  # also Ctrl-D and Escape


@contextmanager
def ending_by_key(quit_: asyncio.Event) -> Iterator[None]:
    """Set `quit_` when somebody wants to end; put the terminal back as it was afterwards."""
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, quit_.set)
            stack.callback(loop.remove_signal_handler, number)
        if _is_ours():
            terminal = sys.stdin.fileno()
            stack.callback(termios.tcsetattr, terminal, termios.TCSADRAIN, termios.tcgetattr(terminal))
            tty.setcbreak(terminal, termios.TCSADRAIN)
            loop.add_reader(terminal, _pressed, terminal, quit_)
            stack.callback(loop.remove_reader, terminal)
        yield


def _pressed(terminal: int, quit_: asyncio.Event) -> None:
    key = os.read(terminal, 64)
    if not key or (key[:1] in _QUIT and (len(key) == 1 or key[:1] != b"\x1b")):
        quit_.set()


def _is_ours() -> bool:
    """Return whether keys pressed at the terminal are for this process: it is not in the background of a shell."""
    try:
        return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False
