"""What tells a process to stop or to reload: signals, and the end of the parent that supervises it."""

import asyncio
import os
import signal
from collections.abc import Callable

__all__ = ["HANDLED", "PARENT_FD", "expect_reload", "install_reload", "install_stop", "watch_parent"]

PARENT_FD = "ROUTER_PARENT_FD"
"""The environment variable that holds the descriptor of a pipe which closes when the supervising parent is gone."""

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
HANDLED = (*_STOP_SIGNALS, signal.SIGHUP)
"""The signals that a process of ours does something about."""

_early = list[int]()  # the SIGHUPs that came before `install_reload`


def watch_parent(on_gone: Callable[[], None]) -> bool:
    """Call `on_gone` in the running loop when the supervising parent is gone; return False when there is none."""
    try:
        # Taken out of the environment: in a process started by this one the number would mean something else.
        descriptor = int(os.environ.pop(PARENT_FD, ""))
        os.set_inheritable(descriptor, False)
    except (ValueError, OSError):
        return False
    loop = asyncio.get_running_loop()

    def gone() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        on_gone()

    loop.add_reader(descriptor, gone)
    return True


def install_stop(stop: asyncio.Event, *, force: Callable[[], None] | None = None, supervised: bool = False) -> None:
    """Let SIGTERM and SIGINT set `stop`; the second one ends the process at once (a shell sees 143 or 130).

    `force` runs before that end, such as `Supervisor.kill`; without it the second signal works even while the event
    loop is blocked. A `supervised` process takes no second signal: process managers signal every process of a service,
    so it gets one from them and one from its supervisor, which ends it by force when it takes too long.
    """

    def first(_number: signal.Signals) -> None:
        stop.set()
        if force is not None:
            _on_stop_signals(second)
        elif not supervised:
            _restore_defaults()

    def second(number: signal.Signals) -> None:
        if force is not None:
            force()
        _restore_defaults()
        signal.raise_signal(number)

    _on_stop_signals(first)


def expect_reload() -> None:
    """Keep a SIGHUP that comes before `install_reload` for then: what it is about may have been read already."""
    _early.clear()
    signal.signal(signal.SIGHUP, lambda number, _frame: _early.append(number))


def install_reload(reload: Callable[[], None], stop: asyncio.Event) -> None:
    """Let SIGHUP call `reload`, or set `stop` where it says what it was made for: that the terminal is gone."""
    on_terminal = os.isatty(0)

    def hung_up() -> None:
        if on_terminal and not os.isatty(0):
            stop.set()
        else:
            reload()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up)
    if _early:
        _early.clear()
        hung_up()


def _on_stop_signals(handler: Callable[[signal.Signals], None]) -> None:
    for number in _STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, handler, number)


def _restore_defaults() -> None:
    for number in _STOP_SIGNALS:
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)
