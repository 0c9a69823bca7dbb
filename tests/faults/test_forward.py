"""Forwards under faults, on real processes: receivers that fail in every way, forwarders killed at every point.

A receiver keeps an account of what came and of what it took. Each event must be taken; and taken twice only across a
kill: by a forwarder that died before it could write down that the first time was enough.
"""

import asyncio
import itertools
import json
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.forwarding import SECRET
from support.processes import System, running_system
from support.receiver import OK, Request, receiving
from support.servers import Server
from support.waiting import eventually

from router.store import scripts
from router.store.client import connect
from router.store.keys import Keys
from workers.outgoing import signed

pytestmark = [pytest.mark.real, pytest.mark.faults]

STREAM = "visma-net-financial/customer_changed"
KEYS = Keys("er")
FAILURES = ("reset", "hang", "500", "503", "302", "cut")
"""How the receiver fails an event the first time: by its id."""
KILLS = ("kill-before", "kill-after", "kill-later")
"""When the forwarder is killed, once for each such event: before its answer, with it, and a moment after it."""
RESOURCES = 7
CONCURRENCY = 8


def answer(status: int, headers: str = "") -> bytes:
    """Return an answer without a body."""
    return f"HTTP/1.1 {status} So\r\n{headers}Content-Length: 0\r\n\r\n".encode()


@dataclass
class Account:
    """What a receiver did: when it took each event (monotonic seconds), and which came while the one before ran."""

    kill: Any
    seen: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    taken: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    order: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    hanging: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self, request: Request) -> bytes:
        """Fail an event as its id says, or take it."""
        id_ = request.event_id
        moment = int(request.headers["webhook-timestamp"])
        if (
            request.headers["webhook-signature"]
            != signed([SECRET], request.headers["webhook-id"], moment, request.body)["webhook-signature"]
        ):
            self.wrong.append(f"{id_} is not signed")
        if json.loads(request.body)["id"] != id_:
            self.wrong.append(f"{id_} is another event")
        self.seen[id_] += 1
        kind = id_.partition(".")[0]
        if self.seen[id_] == 1 and (failed := await self._failed(kind, request)) is not None:
            return failed
        self.taken[id_].append(time.monotonic())
        self.order.append(id_)
        if kind in KILLS[1:] and self.seen[id_] == 1:
            request.writer.write(OK)
            await request.writer.drain()
            if kind == "kill-later":
                await asyncio.sleep(0.01)
            await self.kill()
            return b""
        return OK

    async def _failed(self, kind: str, request: Request) -> bytes | None:
        if kind == "hang":
            await self.hanging.wait()
        elif kind == "reset":
            request.writer.transport.abort()
        elif kind == "cut":
            request.writer.write(b"HTTP/1.1 20")
        elif kind == "kill-before":
            await self.kill()
        elif kind == "503":
            return answer(503, "Retry-After: 1\r\n")
        elif kind.isdigit():
            return answer(int(kind))
        else:
            return None
        return b""


class Forwarder:
    """A forwarder that is started again whenever it is killed, as an orchestrator would."""

    def __init__(self, system: System, environment: dict[str, str]) -> None:
        self._system = system
        self._environment = environment
        self.killed: list[float] = []
        self._process: asyncio.subprocess.Process | None = None
        self._killing = asyncio.Lock()

    async def start(self) -> None:
        """Start it."""
        self._process = await self._system.start("forward", "--name", "f1", **self._environment)

    async def kill(self) -> None:
        """Kill it as it works, and start the next one."""
        async with self._killing:
            assert self._process is not None
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()
            self.killed.append(time.monotonic())
            await self.start()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Server]:
    """Yield a server that flushes before it answers; it does not run yet, and ends with the test."""
    server = Server(tmp_path / "server", "--appendfsync", "always")
    yield server
    server.kill()


async def append(server: Server, ids: list[str]) -> None:
    """Append events, each about one of a few customers."""
    store = connect(server.url, KEYS)
    fields, markers = list[scripts.Field](), list[str]()
    for id_ in ids:
        resource = int(id_.rpartition(".")[2]) % RESOURCES
        raw = {"event": "customer_changed", "notificationId": id_, "resourceUri": f"v1/customer/{resource}"}
        fields += ["id", id_, "at", int(time.time() * 1000), "raw", json.dumps(raw)]
        markers.append(KEYS.seen(STREAM, id_))
    try:
        await store.call(scripts.append(KEYS.events(STREAM), markers, fields, 600_000))
    finally:
        await store.aclose()


@asynccontextmanager
async def forwarded(folder: Path, server: Server, account: Account, **options: str) -> AsyncIterator[Forwarder]:
    """Yield a forwarder to the account."""
    async with receiving(account.receive) as receiver, running_system(folder, ROUTER_REDIS__URL=server.url) as system:
        settings = {
            "EVENTS": STREAM,
            "URL": f"http://127.0.0.1:{receiver.port}/",
            "SECRET": SECRET,
            "ALLOW_PRIVATE": "127.0.0.0/8",
            "CONCURRENCY": str(CONCURRENCY),
            "TIMEOUT": "1s",
            "RETRY__MAX_ATTEMPTS": "50",
            "RETRY__FIRST_DELAY": "0.05",
            "RETRY__MAX_DELAY": "0.2",
            "BREAKER__FAILURES": "3",
            "BREAKER__INTERVAL": "0.1",
            **options,
        }
        environment = {f"ROUTER_FORWARD__CRM__{name}": value for name, value in settings.items()}
        forwarder = Forwarder(system, environment | {"ROUTER_WORKERS__LEASE": "2"})
        account.kill = forwarder.kill
        await forwarder.start()
        try:
            yield forwarder
        finally:
            account.hanging.set()


async def finished(server: Server) -> bool:
    """Return whether nothing is in hand, scheduled or waiting; the group has read all."""
    with suppress(Exception):
        [group] = [each for each in server.ask("XINFO", "GROUPS", KEYS.events(STREAM)) if each["name"] == "crm"]
        left = [server.ask("ZCARD", KEYS.due(STREAM, "crm")), *(server.ask("ZCARD", k) for k in KEYS.lines("crm")[:1])]
        return not (group["pending"] or group["lag"] or any(left))
    return False


@pytest.mark.parametrize(
    ("rounds", "key"), [(1, "resource"), *(pytest.param(8, key, marks=pytest.mark.long) for key in ("", "resource"))]
)
async def test_a_forward_keeps_the_promises_of_a_handler(tmp_path: Path, disk: Server, rounds: int, key: str) -> None:
    """Nothing is lost, nothing ends dead, and what is taken twice was taken once before a kill and once after it.

    With a key the events of a record are taken in order, one after the other.
    """
    account = Account(None)
    kinds = [kind for _ in range(rounds) for kind in (*KILLS, "restart", *FAILURES)]
    async with forwarded(tmp_path, disk, account, KEY=key) as forwarder:
        disk.start()
        ids = list[str]()
        for kind in kinds:
            batch = [f"plain.{len(ids) + number}" for number in range(10)]
            batch.append(f"{'plain' if kind == 'restart' else kind}.{len(ids) + 10}")
            await append(disk, batch)
            ids += batch
            if kind == "restart":
                disk.kill()
                forwarder.killed.append(time.monotonic())  # what was taken and not yet written down comes again
                disk.start()
        await eventually(lambda: account.taken.keys() >= set(ids), timeout=60 * (rounds + 1))
        await eventually(lambda: finished(disk), timeout=60)
        assert disk.ask("EXISTS", KEYS.dead(STREAM, "crm")) == 0
    assert account.wrong == []
    assert set(account.taken) == set(ids)
    assert len(forwarder.killed) == rounds * (len(KILLS) + 1)
    doubles = {id_: times for id_, times in account.taken.items() if len(times) > 1}
    for id_, times in doubles.items():
        for first, again in itertools.pairwise(times):
            assert any(first - 1 <= killed <= again for killed in forwarder.killed), (id_, times, forwarder.killed)
    if key:
        firsts = list(dict.fromkeys(account.order))
        for resource in range(RESOURCES):
            mine = [id_ for id_ in firsts if int(id_.rpartition(".")[2]) % RESOURCES == resource]
            assert mine == sorted(mine, key=lambda id_: int(id_.rpartition(".")[2])), resource
