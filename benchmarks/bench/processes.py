"""The processes of a benchmark: started with a log of their own, looked at through /proc, and ended."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Process", "free_port", "listening", "until"]

_TICKS = os.sysconf("SC_CLK_TCK")
_MIB = 1024 * 1024
_held: list[socket.socket] = []


def free_port() -> int:
    """Return a loopback port, held for the servers that are told it: bound by a socket that never listens.

    The system gives it to nobody else, and those who set SO_REUSEADDR, as all servers here do, bind it beside.
    """
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not before, or two could get the same
    _held.append(holder)
    return int(holder.getsockname()[1])


def listening(port: int) -> bool:
    """Return whether a loopback port accepts connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(condition: Callable[[], object], what: str, timeout: float = 30.0) -> None:
    """Return once the condition holds; raises TimeoutError when it does not within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout:g} s: {what}")
        time.sleep(0.005)


class Process:
    """A process and its children; ended at the end of the `with` block."""

    def __init__(
        self, command: Sequence[str], folder: Path, *, name: str, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        environment = {key: text for key, text in os.environ.items() if not key.startswith("ROUTER_")}
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(
                command,
                cwd=folder,
                env={**environment, "LC_ALL": "C.UTF-8", **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.pid = self._popen.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def until(self, condition: Callable[[], object], what: str, timeout: float = 30.0) -> None:
        """Wait for something this process is to do; raises RuntimeError with its last words when it ended instead."""

        def come() -> bool:
            if condition():
                return True
            if self._popen.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self._popen.returncode}: {self.last_words()}")
            return False

        try:
            until(come, what, timeout)
        except TimeoutError as late:
            raise TimeoutError(f"{self.name}: {late}; {self.last_words()}") from None

    def finish(self, timeout: float) -> None:
        """Wait until it has ended by itself; raises RuntimeError when it failed or takes longer."""
        try:
            if code := self._popen.wait(timeout):
                raise RuntimeError(f"{self.name} ended with {code}: {self.last_words()}")
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{self.name} takes longer than {timeout:g} s: {self.last_words()}") from None

    def last_words(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-600:].strip()

    @property
    def cpu(self) -> float:
        """Seconds of processor time it and its children have used so far."""
        return sum(_cpu(pid) for pid in self._family())

    @property
    def resident(self) -> float:
        """MiB of memory it and its children hold."""
        return sum(_resident(pid) for pid in self._family())

    def stop(self) -> None:
        """End it, by force when it takes long."""
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGTERM)
            try:
                self._popen.wait(15)
            except subprocess.TimeoutExpired:
                self._popen.kill()
        self._popen.wait()

    def _family(self) -> list[int]:
        found = [self.pid]
        for pid in found:
            children = Path(f"/proc/{pid}/task/{pid}/children")
            if children.exists():
                found += map(int, children.read_text().split())
        return found


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _resident(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / _MIB
