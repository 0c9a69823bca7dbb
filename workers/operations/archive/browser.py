"""Looking into the archive: its objects, their events, and whether they are whole."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from config.errors import RouterError
from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.reading import checked, moment_of, order_of
from workers.archive.archive import Archive
from workers.archive.checked import opened
from workers.archive.errors import Damaged
from workers.archive.name import Bounds, ObjectName, folder_of
from workers.archive.reading import Skipped
from workers.operations.audit import CHANGED, MATCHED, Deed, accounted, whoami
from workers.operations.events import Browser, EventFilter, StoredEvent
from workers.state.former import all_streams

__all__ = ["ArchiveBrowser", "ArchiveObject", "NoObject", "Verified", "stop_archiving"]


class NoObject(RouterError):
    """The archive has no object of this name."""

    named = False
    exit_code = 3


@dataclass(frozen=True, slots=True)
class ArchiveObject:
    """An object of the archive: which entries it holds, and its size in bytes."""

    name: ObjectName
    size: int

    @property
    def first_at(self) -> datetime:
        """When its first event was accepted."""
        return moment_of(self.name.first)

    @property
    def last_at(self) -> datetime:
        """When its last event was accepted."""
        return moment_of(self.name.last)


@dataclass(slots=True)
class Verified:
    """What reading the archive found: so many whole objects with so many events; and what is damaged or foreign."""

    objects: int = 0
    events: int = 0
    damaged: list[Skipped] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


class ArchiveBrowser:
    """Reads the archive; every method raises ArchiveUnreachable."""

    def __init__(self, archive: Archive, browser: Browser) -> None:
        self._archive = archive
        self._browser = browser

    async def objects(self, streams: Sequence[str], wanted: EventFilter) -> AsyncIterator[ArchiveObject]:
        """Yield the objects of these streams that have events of the wanted time, newest first."""
        found, _ = await self._list(streams, wanted)
        for each in found:
            yield each

    async def events(self, name: str, wanted: EventFilter) -> AsyncIterator[StoredEvent]:
        """Yield the events of an object that are wanted, oldest first; raises NoObject and Damaged."""
        parsed, bounds = ObjectName.parse(name), Bounds.of(wanted.span())
        if parsed is None:
            raise NoObject(f"{name!r} is no object: `event-router archive list` names them")
        try:
            async with opened(self._archive, parsed) as source:
                async for entry in source.entries():
                    stored = self._browser.read(entry.stream, entry.entry_id.encode(), entry.fields)
                    if bounds.hold(entry.entry_id) and wanted.matches(stored.event):
                        yield stored
        except Damaged as error:
            raise NoObject(f"{name}: {error}") from None

    async def verify(
        self, streams: Sequence[str], wanted: EventFilter, progress: Callable[[int], None] = lambda _: None
    ) -> Verified:
        """Read all objects of these streams that have events of the wanted time, each to its end."""
        found, foreign = await self._list(streams, wanted)
        verified = Verified(foreign=foreign)
        for each in found:
            try:
                async with opened(self._archive, each.name) as source:
                    verified.events += source.events
                    verified.objects += 1
            except Damaged as error:
                verified.damaged.append(Skipped(str(each.name), str(error)))
            progress(1)
        return verified

    async def _list(self, streams: Sequence[str], wanted: EventFilter) -> tuple[list[ArchiveObject], list[str]]:
        bounds, found, foreign = Bounds.of(wanted.span()), list[ArchiveObject](), list[str]()
        for stream in streams:
            async for stored in self._archive.place.list(folder_of(stream)):
                name = ObjectName.parse(stored.name)
                if name is None:
                    foreign.append(stored.name)
                elif name.meets(bounds):
                    found.append(ArchiveObject(name, stored.size))
        return sorted(found, key=lambda each: order_of(each.name.first), reverse=True), foreign


async def stop_archiving(store: Store, catalogue: Catalogue, *, actor: str = "", reason: str = "") -> int:
    """Forget how far all streams are archived, so that they are trimmed without it; return of how many it was known.

    A worker with an archive in its settings begins again in its next round. Raises StoreUnavailable.
    """
    streams = await all_streams(store, catalogue)
    counts = Counter({MATCHED: len(streams)})
    async with accounted(store, Deed("archive off", reason=reason, actor=actor or whoami()), counts):
        replies = await store.commands([("UNLINK", store.keys.archived(stream)) for stream in streams])
        counts[CHANGED] = sum(checked(replies))
    return counts[CHANGED]
