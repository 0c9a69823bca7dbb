"""`event-router demo`: the whole system in a folder of its own, fed with everything a sender may send, and counted."""

import asyncio
import json
import os
import random
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console
from rich.table import Table

from config.errors import RouterError
from router.catalogue import UNLISTED, Catalogue
from router.cli.demo_workers import LEDGER, MENDED
from router.samples import body, sample
from router.signature import sign

__all__ = ["run_demo"]

_SECRET = b"demo-secret"
_SUBSCRIPTIONS = 3
_BATCH = 25
_PATIENCE = 60.0


@dataclass
class _Tally:
    """What was sent, and what the answers said of it; counted in notifications."""

    sent: int = 0
    accepted: int = 0
    duplicates: int = 0
    quarantined: int = 0
    refused: int = 0
    statuses: Counter[int] = field(default_factory=Counter)

    def add(self, number: int, status: int, answer: dict[str, int]) -> None:
        """Count one answered request of `number` notifications."""
        self.sent += number
        self.statuses[status] += 1
        if status != 202:  # noqa: PLR2004 - the one status that means stored
            self.refused += number
            return
        self.accepted += answer["accepted"]
        self.duplicates += answer["duplicates"]
        self.quarantined += answer["quarantined"]


class _Demo:
    """One run of the demo in `folder`; `say` prints a line."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.say = say
        self.catalogue = Catalogue.load()
        self.tally = _Tally()
        self.random = random.Random(58)  # noqa: S311 - samples need no secrecy
        self.port, ops = _free_ports(2)
        self.ledger, self.mended = folder / "handled.txt", folder / "mended"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ROUTER_")},
            "ROUTER_DATA_DIR": str(folder / "data"),
            "ROUTER_INGRESS__HOST": "127.0.0.1",
            "ROUTER_INGRESS__PORT": str(self.port),
            "ROUTER_OPS__PORT": str(ops),
            "ROUTER_LOG__LEVEL": "error",
            **{_variable(slug): _SECRET.decode() for slug in self.catalogue.publishers},
            LEDGER: str(self.ledger),
            MENDED: str(self.mended),
        }

    async def run(self) -> bool:
        """Do everything; return whether the figures add up."""
        async with self._system(), aiohttp.ClientSession() as self.session:
            await self._until("ingress answers", self._answers)
            await self._send_all()
            expected = self.tally.accepted * _SUBSCRIPTIONS
            await self._until("every event is handled or dead", lambda: self._finished(expected))
            self.say("replaying the dead letters of one event type, now that their handler is mended")
            await self._replay()
            await self._until("the replayed events are handled", lambda: self._finished(expected, replayed=True))
            return self._report(await self._dead())

    async def _send_all(self) -> None:
        streams = [name for name in self.catalogue.streams() if not name.endswith(f"/{UNLISTED}")]
        self.say(f"sending a signed webhook of each of the {len(streams)} event types")
        for stream in streams:
            await self._send(stream.partition("/")[0], [self._sample(stream)])
        self.say(f"sending one webhook with a batch of {_BATCH}, a resend, an unlisted type")
        financial = [stream for stream in streams if stream.startswith("visma-net-financial/")]
        first = [self._sample(stream) for stream in financial[:_BATCH]]
        await self._send("visma-net-financial", first)
        await self._send("visma-net-financial", first[:1])
        await self._send("visma-net-financial", [{**first[0], "event": "warehouse_changed"}])
        self.say("sending a body that is no JSON, a forged signature, and none at all")
        await self._post("visma-net-financial", b'{"event": "customer_changed", ', 1)
        await self._post("visma-net-financial", body(first[1:2]), 1, secret=b"forged")
        await self._post("visma-net-financial", body(first[1:2]), 1, secret=None)

    def _sample(self, stream: str) -> dict[str, Any]:
        return sample(self.catalogue, stream, self.random, datetime.now(UTC))

    async def _send(self, publisher: str, items: list[dict[str, Any]]) -> None:
        await self._post(publisher, body(items), len(items))

    async def _post(self, publisher: str, raw: bytes, number: int, secret: bytes | None = _SECRET) -> None:
        scheme = self.catalogue.publishers[publisher].signature
        headers = {scheme.header: sign(scheme, secret, raw)} if secret else {}
        url = f"http://127.0.0.1:{self.port}/webhooks/{publisher}"
        async with self.session.post(url, data=raw, headers=headers) as response:
            self.tally.add(number, response.status, json.loads(await response.read()))

    async def _answers(self) -> bool:
        try:
            async with self.session.get(f"http://127.0.0.1:{self.port}/") as response:
                return response.status > 0
        except aiohttp.ClientError:
            return False

    async def _finished(self, expected: int, *, replayed: bool = False) -> bool:
        handled = len(self._handled())
        least = 2 * self.tally.accepted + (1 if replayed else 0)
        return handled >= least and handled + await self._dead() == expected

    def _handled(self) -> set[str]:
        """Return the distinct lines of the ledger: one for each subscription and event."""
        return set(self.ledger.read_text().splitlines()) if self.ledger.exists() else set()

    async def _dead(self) -> int:
        return sum(row["count"] for row in json.loads(await self._command("dlq", "stats", "--json")))

    async def _replay(self) -> None:
        self.mended.touch()
        await self._command("dlq", "replay", "visma-net-financial/customer_changed", "--yes", "--reason", "mended")

    async def _command(self, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *_program(*arguments), env=self.environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        output, messages = await process.communicate()
        if process.returncode:
            raise RouterError(
                f"event-router {' '.join(arguments)} ended with {process.returncode}: {messages.decode()}"
            )
        return output.decode()

    async def _until(self, what: str, condition: Callable[[], Any]) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                while not await condition():
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise RouterError(f"the demo waited {_PATIENCE:g} seconds in vain until {what}") from None

    @asynccontextmanager
    async def _system(self) -> AsyncIterator[None]:
        self.say("starting ingress, a worker with three subscriptions and the embedded server")
        command = _program("up", "router.cli.demo_workers")
        process = await asyncio.create_subprocess_exec(*command, env=self.environment, start_new_session=True)
        try:
            yield
        finally:
            process.terminate()
            await process.wait()

    def _report(self, dead: int) -> bool:
        """Print the summary; return whether it adds up."""
        tally, handled = self.tally, len(self._handled())
        table = Table("notifications", "", title="Where every notification went", title_justify="left")
        for name in ("sent", "accepted", "duplicates", "quarantined", "refused"):
            table.add_row(name, str(getattr(tally, name)))
        table.add_section()
        table.add_row(f"deliveries to {_SUBSCRIPTIONS} subscriptions", str(tally.accepted * _SUBSCRIPTIONS))
        table.add_row("handled", str(handled))
        table.add_row("dead", str(dead))
        Console().print(table)
        checks = {
            "sent = accepted + duplicates + quarantined + refused": tally.sent
            == tally.accepted + tally.duplicates + tally.quarantined + tally.refused,
            "accepted x subscriptions = handled + dead": tally.accepted * _SUBSCRIPTIONS == handled + dead,
            "one duplicate, one in quarantine, two refused": (tally.duplicates, tally.quarantined, tally.refused)
            == (1, 1, 2),
            "the mended handler handled what was replayed": any(
                line.startswith("demo-broken") for line in self._handled()
            ),
        }
        for check, holds in checks.items():
            self.say(f"{'ok  ' if holds else 'WRONG'} {check}")
        return all(checks.values())


def run_demo(say: Callable[[str], None]) -> int:
    """Run the demo; return the exit code: 0 when the figures add up, 1 when they don't."""
    with tempfile.TemporaryDirectory(prefix="event-router-demo-") as folder:
        return 0 if asyncio.run(_Demo(Path(folder), say).run()) else 1


def _program(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "router.cli.main", *arguments)


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
