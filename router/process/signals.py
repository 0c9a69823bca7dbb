"""What tells a process to stop or to reload: signals, and the end of the parent that supervises it."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from router.tasks.ending import AGAIN

PARENT_FD = "ROUTER_PARENT_FD"
"""The environment variable that holds the descriptor of a pipe which closes when the supervising parent is gone."""

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
HANDLED = (*_STOP_SIGNALS, signal.SIGHUP)
"""The signals that a process of ours does something about."""

_NO_END = {
    *("SIGKILL", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGCONT", "SIGCHLD", "SIGURG", "SIGWINCH"),
    *("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS"),  # faults: to return from one is to meet it again
}
"""The signals that do not end a process, or cannot or must not be caught."""

_early = list[int]()  # the SIGHUPs that came before `install_reload`


def install_last(stop: asyncio.Event) -> None:
    """Let every other signal that would end the process set `stop`, since it must not end in the middle of a change.

    To be called when the handlers of all others are installed.
    """
    for number in signal.valid_signals():
        if number not in _STOP_SIGNALS and _ends(number):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)


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


@contextmanager
def cancelling(task: "asyncio.Task[object]") -> Iterator[None]:
    """Let every signal that would end this process cancel a task instead, until the block has ended.

    A closed terminal sends SIGHUP, a keyboard SIGQUIT, and others may send what they like. A signal that is ignored
    stays so, as SIGHUP under nohup is. The task is cancelled again and again, because a cancellation can be lost
    inside redis-py (`ending.in_time` says how): what must not be ended half-way runs in `ending.whole`.
    """
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in signal.valid_signals() if _ends(number)}
    again: asyncio.TimerHandle | None = None

    def cancel() -> None:
        nonlocal again
        task.cancel()
        if again is not None:
            again.cancel()
        again = loop.call_later(AGAIN, cancel)

    for number in before:
        loop.add_signal_handler(number, cancel)
    try:
        yield
    finally:
        if again is not None:
            again.cancel()
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


def _ends(number: int) -> bool:
    """Return whether a signal would end this process now, or is Ctrl-C, whichever handler takes that."""
    if number == signal.SIGINT:
        return signal.getsignal(number) not in (signal.SIG_IGN, None)
    name = number.name if isinstance(number, signal.Signals) else ""
    return name not in _NO_END and signal.getsignal(number) is signal.SIG_DFL


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
