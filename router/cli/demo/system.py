"""The system that the demo runs: all processes of the router, in a folder of their own, on any free ports."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from config.errors import RouterError
from config.publishers import PACKAGED
from config.sources import load_settings
from router.cli.demo.workers import LEDGER, MENDED
from router.ingress.signing_secrets import secrets_of
from workers.operations.dead_letters.selector import Selector
from workers.operations.operations import Operations

_LONGEST_LINE = 1 << 24  # bytes
_ERRORS = ("error", "critical")


class DemoSystem:
    """The router with the subscriptions of the demo, all its files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.url = ""
        self._process: asyncio.subprocess.Process | None = None
        self._ledger, self._mended = folder / "handled.txt", folder / "mended"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ROUTER_")},
            "ROUTER_CONFIG": str(PACKAGED.with_name("router.toml")),  # one in this folder may name a server in use
            "ROUTER_DATA_DIR": str(folder / "data"),
            "ROUTER_INGRESS__HOST": "127.0.0.1",
            "ROUTER_INGRESS__PORT": "0",
            "ROUTER_OPS__PORT": "0",
            "ROUTER_LOG__FORMAT": "json",
            LEDGER: str(self._ledger),
            MENDED: str(self._mended),
        }
        self._settings = load_settings(environ=self._environment)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run `event-router up`; `url` is where it receives webhooks, as soon as it does."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "router.cli.main", "up", "router.cli.demo.workers"),
            env=self._environment,
            start_new_session=True,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
        )
        assert process.stderr is not None
        reading = asyncio.create_task(self._read(process.stderr))
        self._process = process
        try:
            yield
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
            await reading

    def check(self) -> None:
        """Raise RouterError if it has ended by itself."""
        if self._process is not None and self._process.returncode is not None:
            raise RouterError(f"event-router up ended with {self._process.returncode}, as it says above")

    async def _read(self, log: asyncio.StreamReader) -> None:
        """Take the port of ingress from the log, and show what is no news but an error."""
        async for line in log:
            said = _fields(line)
            if said.get("event") == "ingress_started":
                self.url = f"http://127.0.0.1:{said['port']}"
            if said.get("level") in _ERRORS:
                sys.stderr.write(line.decode(errors="backslashreplace"))

    def secret(self, publisher: str) -> bytes:
        """Return the secret that `up` has made for a publisher."""
        return secrets_of(self._settings, publisher)[0]

    def handled(self) -> set[str]:
        """Return the distinct lines of the ledger: one for each subscription and event."""
        return set(self._ledger.read_text().splitlines()) if self._ledger.exists() else set()

    async def dead(self) -> int:
        """Return how many deliveries are dead letters."""
        async with Operations.open(self._settings) as operations:
            return await operations.count_dead_letters()

    async def replay(self) -> None:
        """Mend the broken handler and replay its dead letters of one event type."""
        self._mended.touch()
        letters = Selector(events="visma-net-financial/customer_changed")
        async with Operations.open(self._settings) as operations:
            await operations.replay_dead_letters(letters).run(reason="mended")


def _fields(line: bytes) -> dict[str, Any]:
    """Return what a line of the log says; one that is no such line is what a command ends with, an error."""
    try:
        said = json.loads(line)
    except ValueError:
        said = None
    return said if isinstance(said, dict) else {"level": "error"}
