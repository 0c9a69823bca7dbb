"""Child processes that are kept running, and that never outlive the process that runs them.

Every child inherits the reading end of a pipe of which the parent alone holds the writing end. When the parent is gone,
however it went, the pipe closes and the child's `signals.watch_parent` tells it to stop.

A child says by `say_started` that it has started, with one byte through a pipe that its supervisor made for it. Until
then only our own code and the import of the user's modules have run, so its exit code is ours: one that ends with 2 has
refused its arguments or settings. One that has started once is restarted whatever its exit code: a handler may have
ended it, and what it needs may only be away for a while.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from router.process.signals import PARENT_FD
from router.tasks.backoff import RestartDelay
from router.tasks.ending import set_within
from router.telemetry import logs

_log = logs.get(__name__)

_USAGE = 2  # our exit code where arguments or settings are wrong: starting again cannot help

STARTED_FD = "ROUTER_STARTED_FD"
"""The environment variable that holds the descriptor of the end that the child writes to."""


def say_started() -> None:
    """Tell the supervisor, if there is one, that this process has started."""
    with contextlib.suppress(ValueError, OSError):
        # Taken out of the environment: in a process started by this one the number would mean something else.
        descriptor = int(os.environ.pop(STARTED_FD, ""))
        os.write(descriptor, b"+")
        os.close(descriptor)


@dataclass(frozen=True)
class ChildSpec:
    """A program to keep running: its name in the log, its arguments, and what its environment has beside ours."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


class _StartedPipe:
    """The pipe of one child, as its supervisor sees it."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)

    def close(self) -> bool:
        """Close the reading end; return whether the child said that it had started."""
        try:
            return bool(os.read(self._reading, 1))
        except BlockingIOError:  # a process that the child left behind may still hold the other end
            return False
        finally:
            os.close(self._reading)


class Supervisor:
    """Runs children and restarts those that die; on stop it ends them, by force after `stop_timeout` seconds."""

    def __init__(
        self,
        children: Sequence[ChildSpec],
        *,
        backoff: RestartDelay | None = None,
        stop_timeout: float = 30.0,
    ) -> None:
        self._children = children
        self._backoff = backoff or RestartDelay()
        self._stop_timeout = stop_timeout
        self._running: dict[asyncio.subprocess.Process, str] = {}
        self._names = {child.name for child in children}
        self._keepers: list[asyncio.Task[None]] = []
        self._group: asyncio.TaskGroup | None = None
        self._ending = asyncio.Event()
        self._code = 0
        self._parent_fd = -1

    async def run(self, stop: asyncio.Event) -> int:
        """Keep the children running until `stop` is set; return 0, or 2 when one refused its arguments or settings."""
        self._parent_fd, held_open = os.pipe()
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._keepers = [group.create_task(self._keep(child)) for child in self._children]
                await set_within(None, stop, self._ending)
                self._ending.set()
                await self._end(self._keepers)
        finally:
            os.close(self._parent_fd)
            os.close(held_open)
        return self._code

    def add(self, child: ChildSpec) -> None:
        """Keep one more child running, from now on, unless there is one of its name.

        One that refuses its arguments or settings ends alone, and may be added again.
        """
        if child.name in self._names or self._ending.is_set() or self._group is None:
            return
        self._names.add(child.name)
        self._keepers.append(self._group.create_task(self._keep(child, added=True)))

    def send(self, number: signal.Signals, wanted: Callable[[str], bool]) -> None:
        """Send a signal to the running children whose names are wanted; one that ends by it is started again."""
        for process, name in self._running.items():
            if wanted(name):
                _signal(process, number)

    def kill(self) -> None:
        """End every child at once."""
        for process in self._running:
            _signal(process, signal.SIGKILL)

    async def _end(self, keepers: Sequence[asyncio.Task[None]]) -> None:
        for process in self._running:
            _signal(process, signal.SIGTERM)
        await asyncio.wait(keepers, timeout=self._stop_timeout)
        for name in self._running.values():
            _log.warning("child_killed", child=name, after=self._stop_timeout)
        self.kill()

    async def _keep(self, child: ChildSpec, *, added: bool = False) -> None:
        """Run one child again and again, until everything ends."""
        clock, delay, has_started = asyncio.get_running_loop().time, None, False
        while not self._ending.is_set():
            since = clock()
            code, started = await self._run_once(child)
            if self._ending.is_set():
                return
            has_started = has_started or started
            if code == _USAGE and not has_started:
                _log.error("child_refused_to_start", child=child.name, exit_code=code)
                if added:  # while the others run: they go on
                    self._names.discard(child.name)
                    return
                self._code = code
                self._ending.set()
                return
            delay = self._backoff.following(delay, clock() - since)
            _log.warning("child_exited", child=child.name, restart_in=delay, **_cause(code))
            await set_within(delay, self._ending)

    async def _run_once(self, child: ChildSpec) -> tuple[int | None, bool]:
        """Return a child's exit code, negative for a signal, None if it could not be started; and if it had started."""
        pipe = _StartedPipe()
        try:
            code = await self._run_to_end(child, pipe)
        finally:
            had_started = pipe.close()
        return code, had_started

    async def _run_to_end(self, child: ChildSpec, pipe: _StartedPipe) -> int | None:
        try:
            process = await self._start(child, pipe)
        except OSError as error:
            _log.exception("child_not_started", child=child.name, program=child.argv[0], reason=error.strerror)
            return None
        _log.info("child_started", child=child.name, pid=process.pid)
        self._running[process] = child.name
        try:
            if self._ending.is_set():  # asked to stop while it was starting
                _signal(process, signal.SIGTERM)
            return await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            del self._running[process]

    async def _start(self, child: ChildSpec, pipe: _StartedPipe) -> asyncio.subprocess.Process:
        ours = {PARENT_FD: str(self._parent_fd), STARTED_FD: str(pipe.writing)}
        try:
            return await asyncio.create_subprocess_exec(
                *child.argv,
                stdin=asyncio.subprocess.DEVNULL,
                env={**os.environ, **child.env, **ours},
                pass_fds=(self._parent_fd, pipe.writing),
                # A session of its own: Ctrl-C in the terminal reaches only us, and we pass it on once.
                start_new_session=True,
            )
        finally:
            os.close(pipe.writing)  # the child has it now


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _cause(code: int | None) -> dict[str, int | str]:
    if code is None:
        return {}
    return {"exit_code": code} if code >= 0 else {"signal": signal.strsignal(-code) or -code}
