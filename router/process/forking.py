"""What a process that user code forks keeps of this one: nothing that is ours.

A fork without an exec, as `multiprocessing` makes it, copies all descriptors, whether they are closed on exec or not,
and the handlers of signals. Left alone, such a child would pass its SIGTERM on to its parent instead of ending, and a
child that outlives its parent would keep our port, our connections and our locks open.
"""

import asyncio
import os
import signal
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.thread import _WorkItem
from types import FrameType
from typing import Any, Final, NoReturn, Protocol, TypeVar
from weakref import WeakSet

from router.process.signals import HANDLED


class Owner(Protocol):
    """Something of ours with descriptors that no child may have."""

    def descriptors(self) -> Iterable[int]:
        """Return those that are open now."""
        ...


class OpenConnection:
    """The owner of a connection, for as long as it is kept."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        withhold(self)

    def descriptors(self) -> Iterable[int]:
        """Return that of the socket, if it is open: uvloop would go on to name one that is closed."""
        if not self._writer.is_closing():
            yield self._writer.get_extra_info("socket").fileno()


_owners = WeakSet[Owner]()
_ports = set[int]()
T = TypeVar("T")
_masks = threading.local()
_installed = False

generation = 0
"""How many forks made this process, counted from the one that began: `os.getpid` would cost as much as a handler."""

_LAST_WORDS = 5.0
"""Seconds that a forked process has for its last words: a thread that it does not have may hold what they need."""
_UNSAID: Final = 120
"""Python's exit code where it cannot write what is left of standard output."""

_POOLS = (("concurrent.futures.thread", "_threads_queues"), ("concurrent.futures.process", "_threads_wakeups"))
"""Where Python notes the threads that it joins at its end; none of them is in the child except the one that forked,
which cannot join itself: cpython's issue 88110."""


def install() -> None:
    """From now on make every fork of this process withhold what is ours."""
    global _installed  # noqa: PLW0603 - what is registered cannot be taken back
    if not _installed:
        os.register_at_fork(before=_hold_signals, after_in_parent=_release_signals, after_in_child=_become_child)
        _installed = True


def withhold(owner: Owner) -> None:
    """Keep the descriptors of `owner` from children, for as long as it exists."""
    _owners.add(owner)


def withhold_port(port: int) -> None:
    """Keep sockets from the child that listen on this port of ours, and those that were accepted there."""
    _ports.add(port)


def end_forked(parent: int, error: BaseException | None) -> None:
    """End this process if its generation is not `parent`: what a handler forked must not go on as a second worker.

    It ends as Python would end it with `error`.
    """
    if generation == parent:
        return
    _end(error)


def _end(error: BaseException | None) -> NoReturn:
    """End this process, whatever its last words meet: no line after this is its own."""
    code = _code(error)
    try:
        guard = threading.Timer(_LAST_WORDS, os._exit, (code,))
        guard.daemon = True
        guard.start()
        _say(error)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
    except BaseException:  # noqa: BLE001 - it may be anything: these streams and the hook may be a handler's own
        code = code or _UNSAID
    finally:
        os._exit(code)


def _code(error: BaseException | None) -> int:
    if not isinstance(error, SystemExit):
        return int(error is not None)
    code = error.code if isinstance(error.code, int) else int(error.code is not None)
    return code & 0xFF  # what the system keeps of it; `os._exit` raises where it is too large a number


def _say(error: BaseException | None) -> None:
    if isinstance(error, SystemExit):
        if not isinstance(error.code, int | None):
            sys.stderr.write(f"{error.code}\n")
    elif error is not None:
        sys.excepthook(type(error), error, error.__traceback__)


def contained(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function; a process that it forks ends where it does."""
    parent = generation
    try:
        result = function(*arguments)
    except BaseException as error:
        end_forked(parent, error)
        raise
    end_forked(parent, None)
    return result


def _count() -> None:
    global generation  # noqa: PLW0603 - one for the whole process
    generation += 1


os.register_at_fork(after_in_child=_count)


def _hold_signals() -> None:
    """Let none come between the fork and the end of our handlers in the child."""
    _masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)


def _release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.before)


def _become_child() -> None:
    wakeup = signal.set_wakeup_fd(-1)
    for number in HANDLED:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    _release_signals()
    for module, name in _POOLS:
        getattr(sys.modules.get(module), name, {}).clear()
    _end_with_work()
    _blind({wakeup, *_ours()})


def _end_with_work() -> None:
    """Have this process end with the work of the pool's thread that forked it, which would take the next work."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - there is no other way to the work of a thread
    while frame is not None:
        if frame.f_code is _WorkItem.run.__code__:
            frame.f_locals["self"].future = _End()
            return
        frame = frame.f_back


class _End:
    """Stands for the future of forked work: its parent has that, and here the process ends with the work."""

    def set_result(self, _result: object) -> NoReturn:
        _end(None)

    def set_exception(self, error: BaseException) -> NoReturn:
        _end(error)


def _ours() -> Iterator[int]:
    for owner in list(_owners):
        yield from owner.descriptors()
    yield from _at_our_ports()


def _at_our_ports() -> Iterator[int]:
    if not _ports:
        return
    for descriptor in map(int, os.listdir("/dev/fd")):  # noqa: PTH208 - numbers, not paths
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode) and _port(descriptor) in _ports:
                yield descriptor
        except OSError:  # the one of the listing itself
            continue


def _port(descriptor: int) -> int | None:
    with socket.socket(fileno=os.dup(descriptor)) as known:
        address = known.getsockname()
    return address[1] if known.family in (socket.AF_INET, socket.AF_INET6) else None


def _blind(descriptors: Iterable[int]) -> None:
    """Let descriptors lead nowhere. Their numbers stay taken: code that believes to own one may close it."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        if descriptor >= 0:
            os.dup2(nowhere, descriptor, inheritable=False)
    os.close(nowhere)
