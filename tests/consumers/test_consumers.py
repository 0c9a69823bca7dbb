"""The consumers of docs/streams/consumers, each built with its own tools, against a real server and its ACL."""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.filling import CUSTOMERS, FINANCIAL, raw_of
from support.servers import Server, starting
from support.waiting import eventually

from router.events.catalogue import Catalogue
from router.events.identify import identify
from router.intake.entry import entry_of
from router.intake.writer import Batch
from router.store.client import Store, connect
from router.store.keys import Keys

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "streams" / "consumers"
KEY = Keys().events(CUSTOMERS)

BUILDS = {
    "csharp": (["dotnet", "build", "--output", "bin"], ["dotnet", "bin/Consumer.dll"]),
    "go": (["go", "build", "-o", "consumer", "."], ["./consumer"]),
    "php": (["php", "-d", "error_reporting=-1", "-l", "consumer.php"], ["php", "consumer.php"]),
    "typescript": (["sh", "-c", "npm ci --no-audit --no-fund && npm run build"], ["node", "consumer.js"]),
}
"""How each is built, and how it is started."""

LANGUAGES = (os.environ.get("CONSUMERS") or " ".join(BUILDS)).split()


@dataclass
class Consumer:
    """A consumer that was built, and the processes of it that a test started."""

    folder: Path
    command: list[str]
    group: str
    access: str
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def start(self, name: str) -> asyncio.subprocess.Process:
        """Start one under a name; what it prints goes to a file."""
        environment = {**os.environ, "REDIS_URL": f"redis://{self.access}", "REDIS": _configuration(self.access)}
        with self.output.open("ab") as output, self.errors.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *self.command, cwd=self.folder, env={**environment, "CONSUMER": name}, stdout=output, stderr=errors
            )
        self.processes.append(process)
        return process

    @property
    def output(self) -> Path:
        """What it prints: a line for each event that it handled."""
        return self.folder / "output"

    @property
    def errors(self) -> Path:
        """What it complains of."""
        return self.folder / "errors"

    def handled(self) -> list[str]:
        """Return the ids of the events that were handled, in that order."""
        return [line.split()[0] for line in self.output.read_text().splitlines()] if self.output.exists() else []

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition; a consumer that ends meanwhile fails the test, with what it says."""

        def holds() -> object:
            assert all(process.returncode is None for process in self.processes), self.errors.read_text()
            return condition()

        await eventually(holds, interval=0.05)


def _configuration(access: str) -> str:
    user, password, address = re.split("[:@]", access, maxsplit=2)
    return f"{address},user={user},password={password}"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Yield a server on which the user of docs/streams.md may read the streams."""
    [rules] = re.findall(r"^user er-reader (.+)$", (ROOT / "docs" / "streams.md").read_text(), re.MULTILINE)
    with starting() as server:
        server.ask("ACL", "SETUSER", "er-reader", *rules.split(), ">secret")
        yield server


@pytest.fixture(scope="module", params=LANGUAGES)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Return where a consumer was built, and its command."""
    folder = tmp_path_factory.mktemp("consumers") / request.param
    shutil.copytree(FOLDER / request.param, folder, ignore=shutil.ignore_patterns("node_modules", "bin", "obj"))
    build, command = BUILDS[request.param]
    assert shutil.which(build[0]), f"the consumer in {request.param} needs {build[0]}; CONSUMERS names those to test"
    done = subprocess.run(build, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, command


@asynccontextmanager
async def _running(built: tuple[Path, list[str]], server: Server) -> AsyncIterator[Consumer]:
    folder, command = built
    consumer = Consumer(folder, command, f"crm-{folder.name}", f"er-reader:secret@127.0.0.1:{server.port}")
    try:
        yield consumer
    finally:
        for process in consumer.processes:
            if process.returncode is None:
                process.kill()
            await process.wait()
        for file in (consumer.output, consumer.errors):
            file.unlink(missing_ok=True)


@pytest.fixture
async def consumer(built: tuple[Path, list[str]], server: Server) -> AsyncIterator[Consumer]:
    """Yield a consumer on an empty server."""
    server.ask("FLUSHALL")
    async with _running(built, server) as consumer:
        yield consumer


@pytest.fixture
async def store(server: Server) -> AsyncIterator[Store]:
    """Yield the store that the router writes to."""
    store = connect(server.url, Keys())
    yield store
    await store.aclose()


async def _store_events(store: Store, *ids: str) -> None:
    """Append events as ingress does."""
    items = [item for id_ in ids for item in identify(Catalogue.load(), FINANCIAL, raw_of(id_), None)]
    entries = [entry_of(store.keys, FINANCIAL, item, 1_762_162_200_000) for item in items]
    assert await Batch(store, window=60_000).append(entries) == [True] * len(ids)


def _pending(server: Server, group: str) -> int:
    return int(server.ask("XPENDING", KEY, group)["pending"])


async def test_what_is_there_and_what_comes_is_handled_once_and_acknowledged(
    consumer: Consumer, server: Server, store: Store
) -> None:
    """A new group begins with the first event, gets those that come, and leaves none pending."""
    await _store_events(store, *(f"old-{number:02}" for number in range(25)))
    await consumer.start("one")
    await consumer.until(lambda: len(consumer.handled()) == 25)
    await _store_events(store, "new")
    await consumer.until(lambda: "new" in consumer.handled() and not _pending(server, consumer.group))
    assert consumer.handled() == [*(f"old-{number:02}" for number in range(25)), "new"]
    assert consumer.output.read_text().splitlines()[-1] == "new customer_changed customer/1 7"
    assert consumer.errors.read_text() == ""


async def test_its_own_pending_entries_come_first_and_those_of_the_dead_come_too(
    consumer: Consumer, server: Server, store: Store
) -> None:
    """What a consumer had in hand when it was killed comes to it at its start, what a dead one held is claimed."""
    await _store_events(store, *(f"e{number}" for number in range(6)))
    server.ask("XGROUP", "CREATE", KEY, consumer.group, "0")
    for name in ("dead", "one", "busy"):
        server.ask("XREADGROUP", "GROUP", consumer.group, name, "COUNT", 2, "STREAMS", KEY, ">")
    held = [entry_id for entry_id, _ in server.ask("XRANGE", KEY, "-", "+", "COUNT", 2)]
    server.ask("XCLAIM", KEY, consumer.group, "dead", 0, *held, "IDLE", 600_000)
    await _store_events(store, "e6")
    await consumer.start("one")
    await consumer.until(lambda: len(consumer.handled()) == 5 and _pending(server, consumer.group) == 2)
    assert consumer.handled()[:2] == ["e2", "e3"]
    assert sorted(consumer.handled()) == ["e0", "e1", "e2", "e3", "e6"]
    assert server.ask("XPENDING", KEY, consumer.group)["consumers"] == [{"name": "busy", "pending": 2}]


async def test_one_that_is_killed_at_work_loses_nothing(consumer: Consumer, server: Server, store: Store) -> None:
    """Killed again and again between handling and acknowledging, it handles each event, and few of them twice."""
    ids = [f"e{number:03}" for number in range(400)]
    for first in range(0, len(ids), 100):
        await _store_events(store, *ids[first : first + 100])
    for handled in (50, 150, 250):
        process = await consumer.start("one")
        await consumer.until(lambda least=handled: len(consumer.handled()) >= least)
        process.kill()
        await process.wait()
        consumer.processes.clear()
    await consumer.start("one")
    await consumer.until(lambda: consumer.handled()[-1:] == ids[-1:] and not _pending(server, consumer.group))
    assert sorted(set(consumer.handled())) == ids
    assert len(consumer.handled()) <= len(ids) + 3 * 10


async def test_an_entry_that_cannot_be_handled_stays_pending_and_holds_up_no_other(
    consumer: Consumer, server: Server, store: Store
) -> None:
    """An entry without `event`, as an earlier version wrote it, is not acknowledged; those behind it are handled."""
    server.ask("XADD", KEY, "1-1", "id", "early", "at", "1", "raw", "{}")
    await _store_events(store, "e0")
    process = await consumer.start("one")
    await consumer.until(lambda: consumer.handled() == ["e0"] and _pending(server, consumer.group) == 1)
    process.kill()
    await process.wait()
    consumer.processes.clear()
    await consumer.start("one")
    await _store_events(store, "e1")
    await consumer.until(lambda: consumer.handled() == ["e0", "e1"] and _pending(server, consumer.group) == 1)
    assert consumer.errors.read_text().count("1-1 stays pending") == 2


async def test_a_group_that_was_removed_ends_it_and_its_next_start_makes_the_group_again(
    consumer: Consumer, server: Server, store: Store
) -> None:
    """A consumer whose group is gone ends with an error instead of reading nothing for ever."""
    await _store_events(store, "e0")
    process = await consumer.start("one")
    await consumer.until(lambda: consumer.handled() == ["e0"] and not _pending(server, consumer.group))
    server.ask("XGROUP", "DESTROY", KEY, consumer.group)
    assert await asyncio.wait_for(process.wait(), 30)
    consumer.processes.clear()
    await consumer.start("one")
    await consumer.until(lambda: consumer.handled() == ["e0", "e0"])
