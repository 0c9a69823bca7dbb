"""What a sweep writes down, under its lease: how far it is, which records it judged, which ones were there."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from router.store.client import Store
from router.store.reading import named_values
from router.store.reconciling import Kept
from router.store.scripts import Field
from workers.state.reconcile import Swept, read_state

__all__ = ["Notebook"]

_SCANNED: Final = 1000


class Notebook:
    """The hashes of one company; every method raises StoreUnavailable, and what writes raises LeaseLost."""

    def __init__(self, store: Store, kept: Kept) -> None:
        self._store = store
        self._kept = kept

    async def state(self) -> Swept:
        """Return how far the company is."""
        return await read_state(self._store, self._kept.state)

    async def put_state(self, values: Mapping[str, Field]) -> None:
        """Write down how far it is."""
        await self._kept.lease.note(self._kept.state, values)

    async def judged(self) -> dict[str, int]:
        """Return the records near the cursor that were judged, each with its change (epoch ms)."""
        return {name: modified async for name, modified in self._all(self._kept.judged)}

    async def put_judged(self, records: Mapping[str, int], gone: Sequence[str] = ()) -> None:
        """Write down what was judged, and forget others."""
        await self._kept.lease.note(self._kept.judged, records, gone)

    def known(self) -> AsyncIterator[tuple[str, int]]:
        """Yield the records that were there, each with its last change that was seen (epoch ms)."""
        return self._all(self._kept.records)

    async def put_known(self, records: Mapping[str, int], gone: Sequence[str] = ()) -> None:
        """Write down what is there, and forget others."""
        await self._kept.lease.note(self._kept.records, records, gone)

    async def buried(self) -> dict[str, int]:
        """Return the records that the last sweep took for gone, each with its last change (epoch ms)."""
        return {name: modified async for name, modified in self._all(self._kept.buried)}

    async def put_buried(self, records: Mapping[str, int], gone: Sequence[str] = ()) -> None:
        """Write down what was taken for gone, and forget others."""
        await self._kept.lease.note(self._kept.buried, records, gone)

    async def forget(self) -> None:
        """Forget all records."""
        await self.put_buried({}, [*await self.buried()])
        await self.put_judged({}, [*await self.judged()])
        await self.put_known({}, [name async for name, _ in self.known()])

    async def _all(self, key: str) -> AsyncIterator[tuple[str, int]]:
        cursor: bytes | int = 0
        while True:
            cursor, found = await self._store.command("HSCAN", key, cursor, "COUNT", _SCANNED)
            for name, value in named_values(found).items():
                yield name.decode(errors="replace"), int(value) if value.isdigit() else 0
            if int(cursor) == 0:
                return
