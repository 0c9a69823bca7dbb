"""Ctrl-C while the command is still being imported: a KeyboardInterrupt would print where that was."""

import os
import signal

INTERRUPTED = 130
"""What a shell calls a process that Ctrl-C has ended."""


def quietly() -> None:
    """From now on end at once and without a word; where Ctrl-C is ignored, as in a script's background, it stays so."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def as_usual() -> None:
    """From now on raise KeyboardInterrupt again, so that a command can put things in order."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(*_: object) -> None:
    os._exit(INTERRUPTED)
