"""An archive in a folder, rounds of retention with it, and what is in it."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from support.filling import CUSTOMERS, raw_of

from config.archive import ArchiveSettings
from config.settings import RetentionSettings
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.reading import order_of
from workers.archive.archive import Archive, open_archive
from workers.archive.archiver import Archiver
from workers.archive.checked import read_object
from workers.archive.jsonl import SUFFIX, JsonLines
from workers.archive.line import Archived
from workers.archive.metrics import ArchiveMetrics
from workers.archive.name import ObjectName
from workers.archive.place import Place
from workers.metrics import WorkerMetrics
from workers.retention.round import Retention

__all__ = ["DAY", "ArchiveBench", "contents", "days_ago", "put_archived", "still"]

DAY = 86_400
WEEK = 7 * DAY


def days_ago(days: float) -> int:
    """Return a time in epoch milliseconds."""
    return int((time.time() - days * DAY) * 1000)


async def still() -> None:
    """Let an object have its name."""


async def contents(place: Place) -> list[Archived]:
    """Return all that the objects of a place hold, stream by stream in their order; each is read to its end."""
    names = [ObjectName.parse(stored.name) async for stored in place.list()]
    found: list[Archived] = []
    for name in sorted(filter(None, names), key=lambda name: (name.stream, order_of(name.first))):
        with await place.open(str(name)) as file:
            found += read_object(name, file)
    assert all(names)
    return found


def put_archived(folder: Path, *ids: str, stream: str = CUSTOMERS, at: int = 1_764_460_800_000, **raw: Any) -> str:
    """Write an object with these events, as an archiver does; return its name."""
    writer = JsonLines()
    fields = [{b"id": id_.encode(), b"at": b"1", b"raw": raw_of(id_, stream, **raw)} for id_ in ids]
    writer.add([Archived(stream, f"{at}-{number}", each) for number, each in enumerate(fields)])
    name = str(ObjectName(stream, f"{at}-0", f"{at}-{len(ids) - 1}", SUFFIX))
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(writer.finish())
    return name


class ArchiveBench:
    """Rounds over a store with an archive, and entries of any age in the store."""

    def __init__(self, store: Store, catalogue: Catalogue, folder: Path, **options: Any) -> None:
        folder.mkdir(exist_ok=True)
        self.store = store
        self.client: Any = store.client
        self.catalogue = catalogue
        self.settings = ArchiveSettings(**{"to": folder.as_uri(), **options})
        self.archive: Archive = open_archive(self.settings)
        self.registry = CollectorRegistry()
        self.metrics = WorkerMetrics(self.registry)
        self.archive_metrics = ArchiveMetrics(self.registry)
        self.stopping = asyncio.Event()
        self.log: list[Any] = []

    def archiver(self, window: float = WEEK) -> Archiver:
        """Return an archiver of events that stay for so many seconds."""
        return Archiver(self.archive, self.store, int(window * 1000), self.archive_metrics, self.stopping)

    async def round(self, window: float = WEEK, *, archiving: bool = True) -> None:
        """Do a round; keep what it logs."""
        archiver = self.archiver(window) if archiving else None
        settings = RetentionSettings(events=window)
        with capture_logs() as self.log:
            retention = Retention(self.store, self.catalogue, settings, self.metrics, self.stopping, archiver)
            await retention.round()

    async def add(self, stream: str, at: int, number: int = 1, **fields: bytes) -> list[str]:
        """Add events that came at this time, epoch milliseconds; return their entry ids."""
        ids = [f"{at}-{index}" for index in range(number)]
        for entry_id in ids:
            own = {"id": f"e{entry_id}", "at": str(at), "raw": b"{}", **fields}
            await self.client.xadd(self.store.keys.events(stream), own, id=entry_id)
        return ids

    async def ids(self, stream: str) -> list[str]:
        """Return the ids of the entries that a stream holds."""
        return [entry_id.decode() for entry_id, _ in await self.client.xrange(self.store.keys.events(stream))]

    async def archived(self) -> list[str]:
        """Return the ids of all entries in the archive."""
        return [entry.entry_id for entry in await contents(self.archive.place)]

    async def objects(self) -> Sequence[str]:
        """Return the names of the objects."""
        return sorted([stored.name async for stored in self.archive.place.list()])

    async def finish(self, stream: str, number: int, group: str = "sync") -> None:
        """Deliver events to a group and finish them."""
        key = self.store.keys.events(stream)
        reply = await self.client.xreadgroup(group, "w1", {key: ">"}, count=number)
        for entry_id, _ in reply.get(key.encode(), ()):
            await self.client.xack(key, group, entry_id)

    def value(self, name: str, **labels: str) -> float | None:
        """Return a metric."""
        return self.registry.get_sample_value(name, labels)
