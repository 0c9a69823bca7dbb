"""A terminal of a given width, with a command running on it."""

import asyncio
import contextlib
import os
import pty
import sys
import termios
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

__all__ = ["TerminalSession", "on_terminal"]


class TerminalSession:
    """A command whose output goes to a terminal."""

    def __init__(self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader) -> None:
        self.process = process
        self._reader = reader
        self._text = ""

    async def until(self, words: str) -> str:
        """Return what is on the terminal once these words are, or the command has ended."""
        async with asyncio.timeout(60):
            while words not in self._text and (read := await self._read()):
                self._text += read
        return self._text

    async def lines(self) -> list[str]:
        """Return all lines once the command has ended."""
        return (await self.until("\0")).splitlines()

    async def _read(self) -> str:
        try:
            return (await self._reader.read(65536)).decode(errors="replace")
        except OSError:  # how Linux says that nobody has the terminal open any more
            return ""


@contextlib.asynccontextmanager
async def on_terminal(
    *arguments: str, columns: int, folder: Path, environment: Mapping[str, str]
) -> AsyncIterator[TerminalSession]:
    """Run a command of the router on a terminal so wide; end it afterwards."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, columns))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "router.cli.main", *arguments),
        cwd=folder,
        env={**{name: value for name, value in environment.items() if name != "COLUMNS"}, "TERM": "xterm"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    reader = asyncio.StreamReader()
    file = os.fdopen(ours, "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), file
    )
    try:
        yield TerminalSession(process, reader)
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 60)
        transport.close()
