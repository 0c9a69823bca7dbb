"""`event-router demo`: the whole system in a folder of its own, fed with everything a sender may send, and counted."""

import asyncio
import random
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import typer
from rich.console import Console
from rich.table import Table

from config.errors import RouterError
from config.publishers import UNLISTED
from router.cli.demo.system import DemoSystem
from router.cli.output.results import print_line
from router.cli.send.sending import Parcel, Summary, post
from router.events.catalogue import Catalogue
from router.events.samples import body, sample
from router.ingress.signature import sign
from router.tasks.ending import in_time
from router.telemetry import logs

_BATCH = 25
_PATIENCE = 60.0
_SUBSCRIPTIONS = 3
_FIGURES = ("sent", "accepted", "duplicates", "quarantined", "refused")


class _Tally(Summary):
    """What was sent, and what the answers said of it; counted in notifications."""

    @property
    def deliveries(self) -> int:
        """How many deliveries the accepted notifications make: one to each subscription."""
        return self.accepted * _SUBSCRIPTIONS

    def table(self, handled: int, dead: int) -> Table:
        """Return the summary, with how many deliveries were handled and how many are dead."""
        table = Table("notifications", "", title="Where every notification went", title_justify="left")
        for name in _FIGURES:
            table.add_row(name, str(getattr(self, name)))
        table.add_section()
        table.add_row(f"deliveries to {_SUBSCRIPTIONS} subscriptions", str(self.deliveries))
        table.add_row("handled", str(handled))
        table.add_row("dead", str(dead))
        return table

    def checks(self, handled: int, dead: int) -> Iterator[tuple[str, bool]]:
        """Yield each sum that must hold, and whether it does."""
        answered = self.accepted + self.duplicates + self.quarantined + self.refused
        yield "sent = accepted + duplicates + quarantined + refused", self.sent == answered
        yield "accepted x subscriptions = handled + dead", self.deliveries == handled + dead
        odd = (self.duplicates, self.quarantined, self.refused)
        yield "one duplicate, one in quarantine, two refused", odd == (1, 1, 2)


class _Demo:
    """One run of the demo in `folder`; `say` prints a line."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.say = say
        self.catalogue = Catalogue.load()
        self.system = DemoSystem(folder)
        self.tally = _Tally()
        self.random = random.Random(58)  # noqa: S311 - samples need no secrecy

    async def run(self) -> bool:
        """Do everything; return whether the figures add up."""
        self.say("starting ingress, a worker with three subscriptions and the embedded server")
        async with self.system.running(), aiohttp.ClientSession() as self.session:
            await self._until("ingress answers", self._answers)
            await self._send_each()
            await self._send_odd()
            await self._until("every event is handled or dead", self._finished)
            self.say("replaying the dead letters of one event type, now that their handler is mended")
            await self.system.replay()
            await self._until("the replayed events are handled", lambda: self._finished(replayed=True))
            return self._report(await self.system.dead())

    async def _send_each(self) -> None:
        streams = self._streams()
        self.say(f"sending a signed webhook of each of the {len(streams)} event types")
        for stream in streams:
            await self._send(stream.partition("/")[0], [self._sample(stream)])

    async def _send_odd(self) -> None:
        self.say(f"sending one webhook with a batch of {_BATCH}, a resend, an unlisted type")
        financial = [stream for stream in self._streams() if stream.startswith("visma-net-financial/")]
        first = [self._sample(stream) for stream in financial[:_BATCH]]
        await self._send("visma-net-financial", first)
        await self._send("visma-net-financial", first[:1])
        await self._send("visma-net-financial", [{**first[0], "event": "warehouse_changed"}])
        self.say("sending a body that is no JSON, a forged signature, and none at all")
        secret = self.system.secret("visma-net-financial")
        await self._post("visma-net-financial", b'{"event": "customer_changed", ', 1, secret)
        await self._post("visma-net-financial", body(first[1:2]), 1, b"forged")
        await self._post("visma-net-financial", body(first[1:2]), 1, None)

    def _streams(self) -> list[str]:
        return [name for name in self.catalogue.streams() if not name.endswith(f"/{UNLISTED}")]

    def _sample(self, stream: str) -> dict[str, Any]:
        return sample(self.catalogue, stream, self.random, datetime.now(UTC))

    async def _send(self, publisher: str, items: list[dict[str, Any]]) -> None:
        await self._post(publisher, body(items), len(items), self.system.secret(publisher))

    async def _post(self, publisher: str, raw: bytes, number: int, secret: bytes | None) -> None:
        scheme = self.catalogue.publishers[publisher].signature
        headers = {scheme.header: sign(scheme, secret, raw)} if secret else {}
        url = f"{self.system.url}/webhooks/{publisher}"
        parcel = Parcel(publisher, raw, number)
        self.tally.count(parcel, await post(self.session, url, parcel, headers))

    async def _answers(self) -> bool:
        return bool(self.system.url)

    async def _finished(self, *, replayed: bool = False) -> bool:
        handled = len(self.system.handled())
        least = 2 * self.tally.accepted + (1 if replayed else 0)
        return handled >= least and handled + await self.system.dead() == self.tally.deliveries

    async def _true(self, condition: Callable[[], Any]) -> None:
        while not await condition():
            self.system.check()
            await asyncio.sleep(0.05)

    async def _until(self, what: str, condition: Callable[[], Any]) -> None:
        try:
            await in_time(_PATIENCE, self._true(condition))
        except TimeoutError:
            raise RouterError(f"the demo waited {_PATIENCE:g} seconds in vain until {what}") from None

    def _report(self, dead: int) -> bool:
        """Print the summary; return whether it adds up."""
        handled = self.system.handled()
        Console().print(self.tally.table(len(handled), dead))
        checks = dict(self.tally.checks(len(handled), dead))
        checks["the mended handler handled what was replayed"] = any(line.startswith("demo-broken") for line in handled)
        for check, holds in checks.items():
            self.say(f"{'ok  ' if holds else 'WRONG'} {check}")
        return all(checks.values())


def demo() -> None:
    """Run the whole system by itself, feed it everything a sender may send, and count where all of it went."""
    raise typer.Exit(run_demo(print_line))


def run_demo(say: Callable[[str], None]) -> int:
    """Run the demo; return the exit code: 0 when the figures add up, 1 when they don't."""
    logs.configure("error")  # of what this process does with the store; that of `up` is read
    with tempfile.TemporaryDirectory(prefix="event-router-demo-") as folder:
        return 0 if asyncio.run(_Demo(Path(folder), say).run()) else 1
