"""What waits in spool files of this machine that no process holds: it was left over, and no ingress has found it yet.

The files that an ingress holds are its own: it takes out what was erased before any of it goes to the store.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import NamedTuple

from router.intake.erased import belongs_to, fields_of
from router.intake.spool_file import Stored, opened
from workers.operations.audit import CHANGED
from workers.operations.erasing.found import LEFT, Found, Ground, Place

__all__ = ["Spooled"]


class _Row(NamedTuple):
    file: Path
    table: str
    id: int


class Spooled(Place):
    """The spool files in the data directory of this machine."""

    name = "spool"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._directory = ground.settings.data_dir / "spool"

    async def found(self) -> AsyncIterator[Found]:
        """Yield what they hold, file by file; raises ConfigError where one cannot be read."""
        publishers = self.ground.catalogue.publishers
        for file in await asyncio.to_thread(lambda: sorted(self._directory.glob("*.db"))):
            after: Stored | None = None
            while rows := await asyncio.to_thread(opened, file, lambda spool, after=after: spool.stored(after)):
                for row in rows:
                    pair = belongs_to(self.ground.whose, row.entry, publishers)
                    if pair is not None:
                        payload, size = _Row(file, row.table, row.id), row.entry.size
                        yield Found(
                            place=self,
                            where=str(file),
                            id=f"{row.table}/{row.id}",
                            content=fields_of(row.entry),
                            whose=pair,
                            size=size,
                            payload=payload,
                        )
                after = rows[-1]

    async def erase(self, items: Sequence[Found]) -> Counter[str]:
        """Take them out, and leave nothing of them in the files."""
        files: dict[Path, list[_Row]] = {}
        for item in items:
            files.setdefault(item.payload.file, []).append(item.payload)
        counts: Counter[str] = Counter()
        for file, rows in files.items():
            done = await asyncio.to_thread(opened, file, lambda spool, rows=rows: spool.erase(rows))
            counts[LEFT if done is None else CHANGED] += len(rows)
        return counts
