"""Archive and retention killed again and again: nothing is trimmed that is not archived, nothing is archived twice."""

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.archiving import contents, days_ago
from support.filling import CUSTOMERS, FINANCIAL

from config.archive import ArchiveSettings
from router.store.client import Store
from router.store.reading import Span, order_of
from workers.archive.archive import Archive, open_archive
from workers.archive.name import Bounds
from workers.archive.reading import Reading

pytestmark = pytest.mark.real

STREAMS = (CUSTOMERS, f"{FINANCIAL}/supplier_changed")
RAW = b'{"text": "' + b"x" * 400 + b'"}'


class Killed:
    """A process that archives and trims, which is killed; and the events that come meanwhile."""

    def __init__(self, store: Store, folder: Path, process: "subprocess.Popen[str]") -> None:
        self.store = store
        self.client: Any = store.client
        self.archive: Archive = open_archive(ArchiveSettings(to=folder.as_uri()))
        self.added: dict[str, list[str]] = {stream: [] for stream in STREAMS}
        self._process = process
        self._at = days_ago(40)

    async def begin(self) -> None:
        """Make a subscription to one of the streams; the other has none."""
        await self.client.xgroup_create(self.store.keys.events(CUSTOMERS), "sync", "0", mkstream=True)

    async def add(self, number: int, randoms: random.Random) -> None:
        """Let events come, on some days; the subscription finishes some of them, and leaves some in hand."""
        pipeline = self.client.pipeline(transaction=False)
        for _ in range(number):
            self._at += randoms.randrange(1, 20_000)
            stream = randoms.choice(STREAMS)
            entry_id = f"{self._at}-0"
            fields = {"id": f"e{entry_id}", "at": str(self._at), "raw": RAW}
            pipeline.xadd(self.store.keys.events(stream), fields, id=entry_id)
            self.added[stream].append(entry_id)
        await pipeline.execute()
        await self.finish(randoms.randrange(1, number))

    async def finish(self, number: int) -> None:
        """Let the subscription be given so many events and finish all that it has in hand."""
        key = self.store.keys.events(CUSTOMERS)
        await self.client.xreadgroup("sync", "w1", {key: ">"}, count=number)
        for row in await self.client.xpending_range(key, "sync", "-", "+", 10_000):
            await self.client.xack(key, "sync", row["message_id"])

    async def run(self, millis: int = 0, steps: int = 0, *, leased: bool = False) -> int:
        """Run a process for so long, or so many steps, else to its end; return how it ended.

        leased: the lease of one that was killed is not over yet, so that it does not archive, and only trims.
        """
        if not leased:
            await self.client.delete(self.store.keys.archiving())
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{millis} {steps}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    async def check(self) -> None:
        """Each event is in its stream or in an object that is whole."""
        left = {(s, e.decode()) for s in STREAMS for e, _ in await self.client.xrange(self.store.keys.events(s))}
        kept = {(entry.stream, entry.entry_id) for entry in await contents(self.archive.place)}
        assert {(stream, entry) for stream, entries in self.added.items() for entry in entries} <= left | kept


@pytest.fixture
def killed(real_store: Store, server_url: str, tmp_path: Path) -> Iterator[Killed]:
    """Yield a process that waits for how long it may run."""
    folder = tmp_path / "archive"
    folder.mkdir()
    command = [sys.executable, "-m", "support.archiving_process", server_url, real_store.keys.prefix, str(folder)]
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Killed(real_store, folder, process)
        finally:
            process.kill()


@pytest.mark.parametrize("times", [16, pytest.param(200, marks=pytest.mark.long)])
async def test_killed_anywhere(killed: Killed, times: int) -> None:
    """Nothing is trimmed that is not archived, and what is read of the archive is each event once, in order.

    Killed at any moment, or between two steps, while events come and are finished.
    """
    randoms = random.Random(times)  # the same each time, as far as a kill can be
    await killed.begin()
    for number in range(times):
        await killed.add(120, randoms)
        moment = (randoms.randrange(1, 150), 0) if number % 4 == 0 else (0, randoms.randrange(1, 16))
        assert await killed.run(*moment, leased=number % 4 == 1) == -9
        if number % 20 in (0, 7):
            await killed.check()
    await killed.finish(100_000)
    assert await killed.run() == 0
    await killed.check()
    assert not [s for s in STREAMS if await killed.client.xlen(killed.store.keys.events(s))]
    found = [entry async for entry in Reading(killed.archive).entries({s: Bounds.of(Span()) for s in STREAMS})]
    assert Counter((entry.stream, entry.entry_id) for entry in found) == Counter(
        (stream, entry) for stream, entries in killed.added.items() for entry in entries
    )
    assert [order_of(entry.entry_id) for entry in found] == sorted(order_of(entry.entry_id) for entry in found)
    assert len(await contents(killed.archive.place)) == len(found)  # no object was written twice under two names
    assert {entry.fields[b"raw"] for entry in found} == {RAW}
