"""What all code of a process shares, taken back from code of users that took it for itself.

A handler, or a library in it, may take a signal, close a standard descriptor or configure logging. Then nothing could
stop the worker any more, or nobody would hear of it, long after that event is done. What a module sets up while it is
imported stays: its author wants its worker so.
"""

import asyncio
import fcntl
import logging
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import structlog

from router.process import forking
from router.process.signals import HANDLED
from router.tasks.ending import set_within
from router.telemetry import logs

_STANDARD = range(3)

_log = logs.get("process")


class Keeper:
    """Keeps the signals, the standard descriptors and the log of this process as they are when it is made."""

    def __init__(self) -> None:
        self._log, self._signals, self._descriptors = _Log(), _Signals(), _Descriptors()

    async def run(self, stop: asyncio.Event, seconds: float) -> None:
        """Look every so many seconds, until `stop` is set."""
        while not await set_within(seconds, stop):
            self.look()

    def look(self) -> None:
        """Take back what was taken, and say so."""
        self.look_at_log()
        for name in self._signals.take_back():
            _log.warning("signal_taken_back", signal=name, advice="leave the worker's signals as they are")
        for number in self._descriptors.take_back():
            _log.warning("descriptor_taken_back", descriptor=number, advice="leave 0, 1 and 2 open")

    def look_at_log(self) -> None:
        """Take back the log alone: a process that is stopping has let go of its signals itself."""
        if taken := list(self._log.take_back()):
            _log.warning("logging_taken_back", changed=taken, advice="leave the worker's logging as it is")

    def close(self) -> None:
        """Let go of what was kept."""
        self._descriptors.close()


class _Signals:
    """How the signals that stop and reload the process are handled, and what wakes its event loop for them."""

    def __init__(self) -> None:
        self._handlers = {number: signal.getsignal(number) for number in HANDLED}
        self._blocked = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)  # none may come while nothing is woken
        self._wakeup = _swap_wakeup(-1)
        _swap_wakeup(self._wakeup)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked)

    def take_back(self) -> Iterator[str]:
        """Name those that were taken."""
        for number, handler in self._handlers.items():
            if signal.getsignal(number) != handler:
                signal.signal(number, handler)
                yield number.name
        if _swap_wakeup(self._wakeup) != self._wakeup:
            yield "set_wakeup_fd"
        for number in HANDLED:
            if number not in self._blocked and number in signal.pthread_sigmask(signal.SIG_UNBLOCK, (number,)):
                yield f"{number.name}, blocked"


def _swap_wakeup(descriptor: int) -> int:
    return signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)


class _Descriptors:
    """Where standard input, output and error lead."""

    def __init__(self) -> None:
        self._kept: dict[int, int] = {}
        for number in _STANDARD:
            with suppress(OSError):  # not open: nothing to take
                self._kept[number] = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, len(_STANDARD))
        forking.withhold(self)

    def descriptors(self) -> Iterable[int]:
        """Return what no child may have: it would keep open what it has closed itself."""
        return self._kept.values()

    def take_back(self) -> Iterator[int]:
        """Open those again that were closed, as long as nothing else has got the number."""
        for number, kept in self._kept.items():
            try:
                os.fstat(number)
            except OSError:
                os.dup2(kept, number)
                yield number

    def close(self) -> None:
        """Close what was kept."""
        while self._kept:
            os.close(self._kept.popitem()[1])


class _Log:
    """What has our lines written: more than there was is no harm, less is."""

    def __init__(self) -> None:
        root = logging.getLogger()
        self._handlers = [(handler, handler.level) for handler in root.handlers]
        self._level, self._disabled = root.level, root.manager.disable
        known = [root, *(logger for logger in root.manager.loggerDict.values() if isinstance(logger, logging.Logger))]
        self._loggers = [logger for logger in known if not logger.disabled]
        self._config = structlog.get_config()

    def take_back(self) -> Iterator[str]:
        """Name what was changed, so that lines were lost."""
        root = logging.getLogger()
        for handler, level in self._handlers:
            if handler not in root.handlers:
                root.addHandler(handler)
                yield "handlers"
            if handler.level > level:
                handler.setLevel(level)
                yield "level of a handler"
        if root.level > self._level:
            root.setLevel(self._level)
            yield "level"
        if root.manager.disable > self._disabled:
            logging.disable(self._disabled)
            yield "disable"
        if disabled := [logger for logger in self._loggers if logger.disabled]:
            for logger in disabled:
                logger.disabled = False
            yield "disabled loggers"
        if _differ(self._config, structlog.get_config()):
            structlog.configure(**self._config)
            yield "structlog"


def _differ(ours: dict[str, Any], found: dict[str, Any]) -> bool:
    return any(found.get(name) is not value for name, value in ours.items())
