"""The system that the demo runs: all processes of the router, in a folder and on ports of their own."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from config.errors import RouterError
from router.cli.demo_workers import LEDGER, MENDED

__all__ = ["SECRET", "DemoSystem"]

SECRET = b"demo-secret"
"""The secret of every publisher."""


class DemoSystem:
    """The router with the subscriptions of the demo, all its files in `folder`."""

    def __init__(self, folder: Path, publishers: Iterable[str]) -> None:
        port, ops = _free_ports(2)
        self.url = f"http://127.0.0.1:{port}"
        self._ledger, self._mended = folder / "handled.txt", folder / "mended"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ROUTER_")},
            "ROUTER_DATA_DIR": str(folder / "data"),
            "ROUTER_INGRESS__HOST": "127.0.0.1",
            "ROUTER_INGRESS__PORT": str(port),
            "ROUTER_OPS__PORT": str(ops),
            "ROUTER_LOG__LEVEL": "error",
            **{_variable(slug): SECRET.decode() for slug in publishers},
            LEDGER: str(self._ledger),
            MENDED: str(self._mended),
        }

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run `event-router up`."""
        command = _program("up", "router.cli.demo_workers")
        process = await asyncio.create_subprocess_exec(*command, env=self._environment, start_new_session=True)
        try:
            yield
        finally:
            process.terminate()
            await process.wait()

    def handled(self) -> set[str]:
        """Return the distinct lines of the ledger: one for each subscription and event."""
        return set(self._ledger.read_text().splitlines()) if self._ledger.exists() else set()

    async def dead(self) -> int:
        """Return how many deliveries are dead letters."""
        return sum(row["count"] for row in json.loads(await self._command("dlq", "stats", "--json")))

    async def replay(self) -> None:
        """Mend the broken handler and replay its dead letters of one event type."""
        self._mended.touch()
        await self._command("dlq", "replay", "visma-net-financial/customer_changed", "--yes", "--reason", "mended")

    async def _command(self, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *_program(*arguments), env=self._environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        output, messages = await process.communicate()
        if process.returncode:
            raise RouterError(
                f"event-router {' '.join(arguments)} ended with {process.returncode}: {messages.decode()}"
            )
        return output.decode()


def _program(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", "router.cli.main", *arguments)


def _variable(slug: str) -> str:
    return f"ROUTER_SECRETS__{slug.replace('-', '_').upper()}"


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
