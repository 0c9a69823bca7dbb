"""Events in the archive, where there is one."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence

from workers.archive.archive import open_archive
from workers.archive.line import Archived
from workers.archive.reading import Skipped
from workers.archive.removing import archived_entries, remove_entries
from workers.operations.audit import CHANGED
from workers.operations.erasing.found import Found, Place

__all__ = ["Archives"]


class Archives(Place):
    """The archive of the settings; each of its objects is replaced once, in the end: see `finish`."""

    name = "archive"

    async def found(self) -> AsyncIterator[Found]:
        """Yield its events, in no order; raises ArchiveUnreachable, and ConfigError where a package is missing."""
        settings = self.ground.settings.archive
        if not settings.to:
            return
        skipped: list[Skipped] = []
        async for entry in archived_entries(open_archive(settings), self._wants, skipped):
            pairs = self.ground.pairs(entry.stream, entry.fields)
            size, whose = sum(map(len, entry.fields.values())), next(iter(pairs), ("", ""))
            yield Found(place=self, where=settings.to, id=entry.entry_id, content=entry.fields, whose=whose, size=size)

    async def erase(self, items: Sequence[Found]) -> Counter[str]:
        """Count them: `finish` removes them, object by object."""
        return Counter({CHANGED: len(items)})

    async def finish(self) -> list[str]:
        """Remove all of them; return what could not be read. Raises ArchiveUnreachable, ArchiveBusy."""
        settings = self.ground.settings.archive
        if not settings.to:
            return []
        removed = await remove_entries(open_archive(settings), self.store, self._wants)
        return [
            f"{name} in the archive cannot be read, and may have more of it: {why}" for name, why in removed.skipped
        ]

    def _wants(self, entry: Archived) -> bool:
        publisher = entry.stream.partition("/")[0]
        whose = self.ground.whose
        return whose.wants_publisher(publisher) and whose.wants_any(self.ground.pairs(entry.stream, entry.fields))
