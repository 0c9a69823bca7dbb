"""One server process of a test: with any options, on a port of its own, in a folder of its own, ended with the test."""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from redis import Redis
from support.ports import reserve

from router.embedded.process import server_binary

__all__ = ["SERVER_PROGRAM", "Server", "server_program", "starting"]

SERVER_PROGRAM = "TEST_REDIS_SERVER"
"""The environment variable that names a server program to test on instead of the embedded one."""

_HOST = "127.0.0.1"
_READY_TIMEOUT = 20.0  # seconds


def server_program() -> str:
    """Return the program that the tests start as their servers."""
    return os.environ.get(SERVER_PROGRAM) or server_binary()


class Server:
    """A server that can be killed, frozen and started again; `options` as on its command line (`--requirepass x`).

    `socket_path`: listen on a unix socket alone. `program`: instead of the one that the tests run on. `config`: the
    text of its configuration file, which it may rewrite.
    """

    def __init__(
        self,
        folder: Path,
        *options: str,
        port: int | None = None,
        socket_path: Path | None = None,
        program: str | None = None,
        config: str | None = None,
    ) -> None:
        self.folder = folder
        self.socket_path = socket_path
        self.port = 0 if socket_path else port or reserve()
        self.options = list(options)
        self.log_file = folder / "server.log"
        self._program = program or server_program()
        self._config = folder / "server.conf"
        folder.mkdir(parents=True, exist_ok=True)
        self._config.write_text(config or "")
        self.frozen = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL without user and password."""
        return f"unix://{self.socket_path}" if self.socket_path else f"redis://{_HOST}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether the process is there, frozen or not."""
        return self._process is not None and self._process.poll() is None

    def start(self, *, wait: bool = True) -> None:
        """Start it, again with the data it had if it ran before; with `wait`, return once it answers."""
        listen = ["--bind", _HOST, "--port", str(self.port)]
        listen += ["--unixsocket", str(self.socket_path)] if self.socket_path else []
        keep = [] if "--sentinel" in self.options else ["--save", "", "--appendonly", "yes"]
        command = [self._program, str(self._config), *listen, "--dir", str(self.folder), *keep, *self.options]
        with self.log_file.open("ab") as log:
            environment = {**os.environ, "LC_ALL": "C"}  # it refuses to start in a locale that is not installed
            self.frozen = False
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Return once it answers, whatever it says to a stranger; raises AssertionError when it ended or takes long."""
        deadline = time.monotonic() + _READY_TIMEOUT
        while not (answer := self._ping()) or answer.startswith(b"-LOADING"):
            if not self.running or time.monotonic() > deadline:
                raise AssertionError(f"the server does not answer:\n{self.log_file.read_text()[-2000:]}")
            time.sleep(0.005)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End it in order: it writes what it has to."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_READY_TIMEOUT)

    def freeze(self) -> None:
        """Let it hang: connections stay, nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
        self.frozen = False

    def ask(self, *command: Any, **access: Any) -> Any:
        """Run one command, blocking, on a connection of its own; raises what redis-py raises."""
        where: dict[str, Any] = {"unix_socket_path": str(self.socket_path)} if self.socket_path else {"port": self.port}
        with Redis(**where, **access, host=_HOST, socket_timeout=5, decode_responses=True) as client:
            return client.execute_command(*command)

    def _ping(self) -> bytes:
        address = str(self.socket_path) if self.socket_path else (_HOST, self.port)
        with socket.socket(socket.AF_UNIX if self.socket_path else socket.AF_INET) as connection:
            connection.settimeout(1)
            with contextlib.suppress(OSError):
                connection.connect(address)
                connection.sendall(b"PING\r\n")
                return connection.recv(64)
        return b""


@contextlib.contextmanager
def starting(*options: str, **how: Any) -> Iterator[Server]:
    """Yield a running server with these options (and those of `Server`) in a folder that goes with it."""
    with tempfile.TemporaryDirectory(prefix="er-test-") as folder:
        server = Server(Path(folder), *options, **how)
        try:
            server.start()
            yield server
        finally:
            server.kill()
