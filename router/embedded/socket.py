"""The unix socket of the embedded server: where it is, and whether somebody answers there."""

import asyncio
import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from config.errors import RouterError
from router.process.forking import OpenConnection

_LONGEST = 100  # bytes; kernels allow 104 (macOS) and 108 (Linux)
_ANSWER = 1.0  # seconds for one PING


def socket_path(directory: Path) -> Path:
    """Return where the socket is: in the directory, or, when that is too long a path, in a private temporary one.

    Its name follows from the directory's, so that every process finds it. Raises RouterError when neither will do.
    """
    path = directory / "server.sock"
    if len(os.fsencode(path)) <= _LONGEST:
        return path
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    private = Path(tempfile.gettempdir(), f"event-router-{os.getuid()}-{digest}")
    if len(os.fsencode(private / path.name)) > _LONGEST:
        raise RouterError(f"{path}: too long for a socket, and so is {private}; set a shorter data_dir or TMPDIR")
    _make_private(private)
    return private / path.name


def _make_private(directory: Path) -> None:
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise RouterError(f"{directory}: not a directory of this user alone; remove it, or set a shorter data_dir")


async def ping(path: Path) -> bytes:
    """Return the first line of the answer, whatever it is; empty when nobody answers."""
    with contextlib.suppress(OSError):
        async with asyncio.timeout(_ANSWER), _connection(path) as (reader, writer):
            writer.write(b"PING\r\n")
            return await reader.readline()
    return b""


async def until_gone(path: Path) -> None:
    """Hold a connection that ends when the server does."""
    with contextlib.suppress(OSError):
        async with _connection(path) as (reader, writer):
            _withheld = OpenConnection(writer)
            await reader.read()


@contextlib.asynccontextmanager
async def _connection(path: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
