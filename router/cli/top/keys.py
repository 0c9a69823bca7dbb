"""What ends a command that takes the whole terminal: the key q, Ctrl-C or SIGTERM, each in order."""

import asyncio
import os
import re
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_QUIT = re.compile(rb"[qQ\x04\x1b]")  # also Ctrl-D and Escape
_SEQUENCE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]?|O.?|[^\x1b\[O])", re.DOTALL)
"""What a terminal sends for an arrow, a function key or a key with Alt: it begins like Escape."""


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
    typed = os.read(terminal, 64)
    if not typed or _QUIT.search(_SEQUENCE.sub(b"", typed)):
        quit_.set()


def _is_ours() -> bool:
    """Return whether keys pressed at the terminal are for this process: it is not in the background of a shell."""
    try:
        return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False
