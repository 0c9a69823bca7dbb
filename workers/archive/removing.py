"""Removing events from the archive, such as those of a company that is to be erased: each object at once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final

from config.errors import RouterError
from router.store.client import Store
from router.store.leases import Lease, LeaseLost
from workers.archive.archive import Archive
from workers.archive.checked import Checked, opened
from workers.archive.errors import Damaged, Swept
from workers.archive.line import Archived
from workers.archive.name import ObjectName
from workers.archive.place import ABOUT
from workers.archive.reading import Skipped

__all__ = ["ArchiveBusy", "Removed", "archived_entries", "remove_entries"]

_PATIENCE: Final = 600.0


class ArchiveBusy(RouterError):
    """Another process is writing to the archive and does not end."""


@dataclass(slots=True)
class Removed:
    """What was removed: so many events of so many objects. `skipped` could not be read, and may hold more."""

    events: int = 0
    objects: int = 0
    skipped: list[Skipped] = field(default_factory=list)


async def archived_entries(
    archive: Archive, wanted: Callable[[Archived], bool], skipped: list[Skipped]
) -> AsyncIterator[Archived]:
    """Yield the entries of all objects that are wanted, in no order; some may come twice.

    `skipped` gets what cannot be read. Raises ArchiveUnreachable.
    """
    async for name in _objects(archive, skipped):
        try:
            async with opened(archive, name) as found:
                async for entry in found.entries():
                    if wanted(entry):
                        yield entry
        except Damaged as error:
            skipped.append(Skipped(str(name), str(error)))


async def remove_entries(archive: Archive, store: Store, unwanted: Callable[[Archived], bool]) -> Removed:
    """Remove the entries that are unwanted from all objects, each of which is replaced at once or left as it is.

    No archiver writes meanwhile: it waits, and what it writes later comes from the streams; so remove them from there
    first. What others had written without a name goes. Safe to repeat. An object of which nothing is left is removed.
    Raises ArchiveUnreachable, ArchiveBusy where another process has the lease for ten minutes, and StoreUnavailable.
    """
    removed = Removed()
    lease = Lease(store, store.keys.archiving(), archive.lease_seconds)
    async with lease.held(_PATIENCE) as is_ours:
        if not is_ours:
            raise ArchiveBusy("another process is writing to the archive and has not ended for ten minutes; try again")
        await archive.place.sweep()
        names = [name async for name in _objects(archive, removed.skipped)]
        for name in names:
            try:
                await _clean(archive, name, unwanted, lease, removed)
            except Damaged as error:
                removed.skipped.append(Skipped(str(name), str(error)))
            except (LeaseLost, Swept):
                raise ArchiveBusy("another process has begun to write to the archive meanwhile; repeat it") from None
    return removed


async def _clean(
    archive: Archive, name: ObjectName, unwanted: Callable[[Archived], bool], lease: Lease, removed: Removed
) -> None:
    await lease.keep()
    async with opened(archive, name) as found:
        content, kept = await _without(archive, found, unwanted)
        gone = found.events - kept
    if not gone:
        return
    if kept:
        await archive.place.put(str(name), content, lease.keep)
    else:
        await lease.keep()
        await archive.place.remove(str(name))
    removed.events += gone
    removed.objects += 1


async def _without(archive: Archive, found: Checked, unwanted: Callable[[Archived], bool]) -> tuple[bytes, int]:
    """Return an object without what is unwanted, and how many entries it holds."""
    writer, kept = archive.writer(found.name.suffix), 0
    while page := await found.page():
        rest = [entry for entry in page if not unwanted(entry)]
        kept += len(rest)
        if rest:
            await asyncio.to_thread(writer.add, rest)
    return await asyncio.to_thread(writer.finish), kept


async def _objects(archive: Archive, skipped: list[Skipped]) -> AsyncIterator[ObjectName]:
    async for stored in archive.place.list():
        name = ObjectName.parse(stored.name)
        if name is None and stored.name != ABOUT:
            skipped.append(Skipped(stored.name, "it is no object of the archive"))
        elif name is not None:
            yield name
