"""The Redis of a round: plain, with its append-only file flushed each second, on a port and in a folder of its own."""

import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from redis import Redis

from bench.processes import Process, free_port, listening
from router.embedded.process import server_binary

__all__ = ["OPTIONS", "PROGRAM", "Server", "server_program"]

PROGRAM = "BENCH_SERVER"
"""The environment variable that names another server program than the `redis-server` on the PATH."""

OPTIONS = ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction")


class Server:
    """A server for one round; with `data`, it starts with a copy of what another left in its folder."""

    def __init__(self, folder: Path, data: Path | None = None) -> None:
        self.folder = folder / "redis"
        self.port = free_port()
        self.folder.mkdir(parents=True)
        if data is not None:
            shutil.copytree(data / "appendonlydir", self.folder / "appendonlydir")
        command = (
            server_program(),
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self.folder),
            *OPTIONS,
        )
        self.process = Process(command, folder, name="redis", env={"LC_ALL": "C"})
        self.client: Any = Redis(port=self.port, socket_timeout=60)

    def __enter__(self) -> Self:
        self.process.until(lambda: listening(self.port), "the server listens")
        self.process.until(lambda: not self.client.info("persistence")["loading"], "its data is loaded", 120)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self.process.stop()

    @property
    def url(self) -> str:
        """Its URL."""
        return f"redis://127.0.0.1:{self.port}"


def server_program() -> str:
    """Return the program that is run as the server."""
    return os.environ.get(PROGRAM) or shutil.which("redis-server") or server_binary()
