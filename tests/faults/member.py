"""One process of the system under test, kept running: whoever is killed is started again, as an orchestrator would.

It also notes every end that was not asked for. A router that has to be restarted to go on is broken, even though a
supervisor would hide that.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["Member"]

_PATIENCE = 40.0
"""Seconds a process gets to end when it is asked to."""
_PAUSE = 0.5
"""Seconds before a process that ended by itself is started again."""
_LAUNCH = (sys.executable, "-IS", str(Path(__file__).parent / "launch.py"))


class Member:
    """A command that is kept running from `start` to `end`, each of its processes with an environment made for it.

    `surprises` says which of its processes ended when they should not have, or did not end as they should have.
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Callable[[], Mapping[str, str]], folder: Path
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.pids: list[int] = []
        self.surprises: list[str] = []
        self._command = command
        self._environment = environment
        self._folder = folder
        self._expected: int | None = None
        self._wanted, self._running, self._gone = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The process that runs now, or ran last."""
        return self.pids[-1]

    async def start(self) -> None:
        """Start it, at first or after `take_down`; return once there is a process."""
        self._wanted.set()
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())
        await self._running.wait()

    async def take_down(self, by: signal.Signals = signal.SIGTERM) -> int:
        """End its process, which must exit with code 0 on SIGTERM; it stays down until `start`. Return the pid."""
        pid = self.pid
        self._wanted.clear()
        self._expected = 0 if by is signal.SIGTERM else -by
        self.signal(by)
        self.signal(signal.SIGCONT)  # afterwards, so that one that was stopped does nothing more before it is killed
        try:
            await asyncio.wait_for(self._gone.wait(), _PATIENCE)
        except TimeoutError:
            self.surprises.append(f"{self.name} (pid {pid}) did not end within {_PATIENCE:g} s of {by.name}")
            self._expected = -signal.SIGKILL
            self.signal(signal.SIGKILL)
            await self._gone.wait()
        return pid

    async def replace(self, by: signal.Signals = signal.SIGKILL) -> int:
        """End its process and start the next one at once; return the pid of the one that ended."""
        pid = await self.take_down(by)
        await self.start()
        return pid

    async def end(self) -> None:
        """Ask it to end, for good."""
        if self._keeper is not None:
            if self._running.is_set():
                await self.take_down()
            self._keeper.cancel()
            await asyncio.wait([self._keeper])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def memory(self) -> int | None:
        """Return what the process holds of memory, in bytes; None where the system does not tell."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            return None
        return pages * os.sysconf("SC_PAGESIZE")

    async def _keep(self) -> None:
        while True:
            await self._wanted.wait()
            process = await self._launch()
            code = await process.wait()
            self._running.clear()
            self._gone.set()
            if code != self._expected:
                self.surprises.append(f"{self.name} (pid {process.pid}) ended by itself with exit code {code}")
                await asyncio.sleep(_PAUSE)
            self._expected = None

    async def _launch(self) -> asyncio.subprocess.Process:
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *_LAUNCH,
                *self._command,
                cwd=self._folder,
                env=dict(self._environment()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.pids.append(process.pid)
        self._gone.clear()
        self._running.set()
        return process
