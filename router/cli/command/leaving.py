"""The end of a process that stays: in time, whatever user code has left running.

The event loop waits for the threads that look up names, and the interpreter for threads, pools and processes, for ever.
Each gets what is left of the shutdown time-out; then the process says what is alive still, and ends.
"""

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from router.cli.command.exits import code_of, complain, is_own_process
from router.cli.command.loop import run
from router.cli.command.stdio import put_back
from router.process.signals import install_reload, install_stop
from router.telemetry import logs
from router.up import supervised

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, Any]], Any]

_LEAST = 1.0
"""Seconds that there are at the least, since what was asked to end needs a moment."""
_LAST_WORDS = 1.0
"""Seconds for the last words: nobody may read them."""


class Leaving:
    """Runs the work of a process, and sees to it that the process ends after it.

    timeout: seconds from the request to stop to the end. run: how the work is run, in which event loop.
    """

    def __init__(self, name: str, timeout: float = 0.0, run: Run = run) -> None:
        self._name = name
        self._log = logs.get(name)
        self._timeout = timeout
        self._run = run
        self._stop = _StopEvent()
        self._error: BaseException | None = None
        self._left = threading.Event()

    def serve(self, work: Callable[[asyncio.Event], Awaitable[None]], reload: Callable[[], None] | None = None) -> None:
        """Run the work until a signal sets the event that it is given: the time-out begins then.

        reload: what SIGHUP is for; without it the log says what to do instead.
        """

        async def serving() -> None:
            install_stop(self._stop, supervised=supervised())
            install_reload(reload or self._nothing_to_reload, self._stop)
            await work(self._stop)

        self.run(serving())

    @contextlib.contextmanager
    def after_failure(self) -> Iterator[None]:
        """Let the process end after what is done in this context, if that raises."""
        try:
            yield
        except BaseException as error:
            self._watch(code_of(error))
            if not is_own_process():
                self._left.set()
            raise

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the work to its end and return what it returns, the exit code if that is a number."""
        try:
            result: T = self._run(self._watched(work))
            return result
        finally:
            self._error = None  # the command says it
            if not is_own_process():
                self._left.set()

    def _nothing_to_reload(self) -> None:
        advice = f"start the {self._name} again: it reads publishers at start alone"
        self._log.warning("reload_ignored", advice=advice)

    async def _watched(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            result = await work
        except BaseException as error:
            self._error = error
            self._watch(code_of(error))
            raise
        self._watch(result if isinstance(result, int) else 0)
        return result

    def _watch(self, code: int) -> None:
        now = time.monotonic()
        left = max(_LEAST, (self._stop.asked or now) + self._timeout - now)
        threading.Thread(target=self._end, args=(code, left), name="leaving", daemon=True).start()

    def _end(self, code: int, seconds: float) -> None:
        """End the process in `seconds`, unless it has ended by then."""
        if seconds > _LEAST and not self._left.wait(_LEAST):
            self._log.info("waiting_for_what_is_alive", seconds=round(seconds - _LEAST, 1), **_alive())
            seconds -= _LEAST
        if not self._left.wait(seconds):
            saying = threading.Thread(target=self._last_words, daemon=True)
            saying.start()
            saying.join(_LAST_WORDS)
            _terminate_children()
            os._exit(code)

    def _last_words(self) -> None:
        put_back()
        self._log.warning("ended_with_what_is_alive", **_alive())
        if self._error is not None:
            complain(" ".join(str(self._error).split()))
        logs.flush()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()


class _StopEvent(asyncio.Event):
    asked: float | None = None
    """When it was set first, in monotonic seconds."""

    def set(self) -> None:
        self.asked = self.asked or time.monotonic()
        super().set()


def _alive() -> dict[str, list[str] | list[int]]:
    """Return the names of the threads that Python waits for, and the ids of child processes."""
    waited_for = [thread.name for thread in threading.enumerate() if not thread.daemon]
    ours = (threading.main_thread().name, "(_do_shutdown)")  # the other is the event loop's, which waits for its pool
    return {"threads": [name for name in waited_for if not name.endswith(ours)], "children": _children()}


def _children() -> list[int]:
    found = {child.pid for child in _started_children()}
    for listed in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found |= {int(pid) for pid in listed.read_text().split()}
    return sorted(pid for pid in found if pid and not _has_ended(pid))


def _has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


def _started_children() -> list[Any]:
    """Return the children that Python itself would wait for."""
    multiprocessing = sys.modules.get("multiprocessing")
    return [] if multiprocessing is None else multiprocessing.active_children()


def _terminate_children() -> None:
    with contextlib.suppress(Exception):
        for child in _started_children():
            child.terminate()
