"""The embedded server: a Valkey (or Redis) of our own, with its data in a directory and reachable by unix socket only.

Two locks in the directory, each gone with the process that holds it, say all there is to know:

- `owner.lock` is held by the process that starts the server, restarts it when it dies, and stops it at its own end.
  Others join. When the owner has gone, the first of them to miss the server becomes the owner.
- `server.lock` is held by the server itself, which inherits it. So a server left behind by an owner that was killed is
  recognised, and adopted by the next owner, and two servers never write the same files.
"""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from config.errors import RouterError
from router.embedded.process import ServerProcess, try_lock
from router.embedded.socket import ping, socket_path, until_gone
from router.process.forking import withhold
from router.tasks.backoff import RestartDelay
from router.telemetry import logs

_log = logs.get(__name__)

_LOOK = 0.02  # seconds between two looks at a server that starts


class EmbeddedServer:
    """One process's part in the server of a directory: it runs it, or joins the one that runs already.

    `fsync` is when it flushes its file, as in `appendfsync`. It has to answer within `ready_timeout` seconds, without
    the time in which it loads its data, and to end within `stop_timeout`.
    """

    def __init__(
        self, directory: Path, *, ready_timeout: float = 10.0, stop_timeout: float = 10.0, fsync: str = "everysec"
    ) -> None:
        self.directory = directory.resolve()
        self._ready_timeout = ready_timeout
        self._server = ServerProcess(self.directory, stop_timeout=stop_timeout, fsync=fsync)
        self._socket = Path()
        self._owner_lock: int | None = None
        self._watcher: asyncio.Task[None] | None = None
        withhold(self)

    def descriptors(self) -> Iterable[int]:
        """Return that of the owner's lock: a child that outlives this process must not be the owner."""
        return () if self._owner_lock is None else (self._owner_lock,)

    @property
    def is_owner(self) -> bool:
        """Whether this process starts and stops the server."""
        return self._owner_lock is not None

    async def start(self) -> str:
        """Make sure that a server answers, keep it so until `stop`, and return its `unix://` URL.

        Raises RouterError when none answers in time, or when it ends at once.
        """
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._socket = socket_path(self.directory)
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
        if self._server.is_child or (started and self._become_owner()):
            await self._server.end()
        if self._owner_lock is not None:
            os.close(self._owner_lock)
            self._owner_lock = None

    async def _ensure(self) -> None:
        """Wait until a server answers, starting it when there is none and starting it is ours to do."""
        clock = asyncio.get_running_loop().time
        deadline, spawned = clock() + self._ready_timeout, False
        while not (reply := await ping(self._socket)) or reply.startswith(b"-LOADING"):
            if reply:
                deadline = clock() + self._ready_timeout
            elif self._become_owner() and (lock := self._server.try_lock()) is not None:
                await self._spawn(lock, again=spawned)
                spawned = True
            if clock() > deadline:
                raise RouterError(self._unanswered())
            await asyncio.sleep(_LOOK)
        self._become_owner()  # of a server whose owner was killed

    def _unanswered(self) -> str:
        holder = f"end process {self._server.pid}, which runs it" if self.is_owner else "end the process that runs it"
        return f"{self._socket}: no answer within {self._ready_timeout:g} s; see {self._server.log_file}, or {holder}"

    def _become_owner(self) -> bool:
        if self._owner_lock is None:
            self._owner_lock = try_lock(self.directory / "owner.lock")
        return self.is_owner

    async def _spawn(self, lock: int, *, again: bool) -> None:
        """Start the server and hand it its lock; once in a row only, since a second time would fail like the first."""
        try:
            await self._server.reap()
            if again:
                log_file, words = self._server.log_file, self._server.last_words()
                raise RouterError(f"the embedded server ended at once; {log_file} says: {words}")
            self._socket = socket_path(self.directory)
            await self._server.start(self._socket, lock)
        finally:
            os.close(lock)

    async def _watch(self) -> None:
        """Bring the server back whenever it goes."""
        clock, restart_delay = asyncio.get_running_loop().time, RestartDelay()
        delay: float | None = None
        while True:
            since = clock()
            await until_gone(self._socket)
            delay = restart_delay.following(delay, clock() - since)
            _log.warning("embedded_server_gone", directory=str(self.directory), look_again_in=delay)
            await asyncio.sleep(delay)
            try:
                await self._ensure()
            except (RouterError, OSError) as error:
                _log.exception("embedded_server_not_back", reason=str(error))
