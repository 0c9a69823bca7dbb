"""Asking the person at the terminal for a yes."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from router.cli.command.exits import usage

__all__ = ["ask"]


def ask(question: str, otherwise: str) -> None:
    """Go on with a yes; else end the command, where nobody is there to be asked with what to do `otherwise`."""
    if not _is_asked():
        usage(otherwise)
    with _ctrl_c():
        typer.confirm(question, abort=True, err=True)


@contextmanager
def _ctrl_c() -> Iterator[None]:
    """Have Ctrl-C end a question: the event loop, which sees to it otherwise, does not run meanwhile."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Abort from None
    finally:
        signal.signal(signal.SIGINT, before)


def _is_asked() -> bool:
    """Return whether somebody is there to be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()
