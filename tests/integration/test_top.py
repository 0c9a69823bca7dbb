"""`top` on a real terminal, beside a real server."""

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import sys
import termios
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.filling import put_events, put_group
from support.servers import Server, starting
from support.stores import real_store as on_real_server

import router
from router.store.client import connect
from router.store.keys import Keys

pytestmark = pytest.mark.real


class Screen:
    """A terminal with `top` on it."""

    def __init__(self, process: asyncio.subprocess.Process, number: int) -> None:
        self.process = process
        self._number = number
        self.text = ""
        self._more = asyncio.Event()
        asyncio.get_running_loop().add_reader(number, self._read)

    def _read(self) -> None:
        try:
            self.text += os.read(self._number, 65536).decode(errors="replace")
        except OSError:  # nobody has the terminal open any more
            asyncio.get_running_loop().remove_reader(self._number)
        self._more.set()

    async def until(self, words: str) -> None:
        """Wait until these words come onto the screen from now on."""
        self.text = ""
        async with asyncio.timeout(30):
            while words not in self.text:
                self._more.clear()
                await self._more.wait()

    def press(self, key: bytes) -> None:
        """Press a key."""
        os.write(self._number, key)

    async def ended(self) -> int:
        """Return the exit code, once it has ended."""
        return await asyncio.wait_for(self.process.wait(), 30)


@contextlib.asynccontextmanager
async def screen(server: Server, prefix: str, folder: Path, **more: str) -> AsyncIterator[Screen]:
    """Yield a terminal of 80 by 24 that `top` has to itself."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ROUTER_", "COLUMNS", "LINES"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "router.cli.main", "top", "--interval", "0.2"),
        cwd=folder,
        env={
            **kept,
            "PYTHONPATH": str(Path(router.__file__).parents[1]),
            "TERM": "xterm",
            "ROUTER_REDIS__URL": server.url,
            "ROUTER_REDIS__PREFIX": prefix,
            **more,
        },
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    found = Screen(process, ours)
    try:
        yield found
    finally:
        asyncio.get_running_loop().remove_reader(ours)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        os.close(ours)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    """Yield a server of its own with a subscription that has something to do."""
    with starting() as server:
        async with on_real_server(server.url) as store:
            await put_group(store, "customer-sync")
            await put_events(store, "e1")
            yield {"server": server, "prefix": store.keys.prefix, "folder": tmp_path}
            server.kill()
            server.start()
            await store.client.connection_pool.disconnect()


async def test_it_is_live_until_q(place: dict[str, Any]) -> None:
    """Frame follows frame on a screen of its own; q ends it and gives the terminal back as it was."""
    async with screen(**place) as top:
        await top.until("customer-sync")
        store = connect(place["server"].url, Keys(place["prefix"]))
        await put_events(store, *(f"n{number}" for number in range(40)))
        await store.aclose()
        await top.until(" 41 ")
        top.press(b"x")
        await top.until("customer-sync")
        top.press(b"q")
        assert await top.ended() == 0
        assert "\x1b[?1049l" in top.text
        assert "Traceback" not in top.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signals(place: dict[str, Any], number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end it in order as well."""
    async with screen(**place) as top:
        await top.until("customer-sync")
        top.process.send_signal(number)
        assert await top.ended() == 0
        assert "\x1b[?1049l" in top.text


async def test_a_store_that_goes_away(place: dict[str, Any]) -> None:
    """While the store is away that is said, with the last figures below; then it goes on."""
    async with screen(**place) as top:
        await top.until("customer-sync")
        place["server"].kill()
        await top.until("the store does not answer")
        await top.until("customer-sync")
        place["server"].start()
        await top.until("no worker")
        top.press(b"q")
        assert await top.ended() == 0


async def test_a_terminal_without_abilities(place: dict[str, Any]) -> None:
    """Where the screen cannot be drawn upon, or has no colours, frames come one below the other, or without colours."""
    async with screen(**place, TERM="dumb") as top:
        await top.until("customer-sync")
        assert "\x1b" not in top.text
        top.press(b"q")
        assert await top.ended() == 0
    async with screen(**place, NO_COLOR="1") as top:
        await top.until("customer-sync")
        assert "\x1b[31m" not in top.text
        top.press(b"\x03")
        assert await top.ended() == 0
