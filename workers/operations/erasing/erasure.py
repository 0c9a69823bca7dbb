"""Erasing all that is stored of a company or a tenant, beside workers and ingress that go on.

What moves is looked through again until nothing is found any more: an event may have gone from one place to another
behind the walk. Then the streams are written again, for a server keeps the bytes of what it only marks as removed.
"""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from config.errors import ConfigError, RouterError
from config.settings import Settings
from router.events.catalogue import Catalogue
from router.events.whose import Whose
from router.intake.erasures import Erasures
from router.store.client import Store
from router.store.errors import StoreRefused
from workers.archive.errors import ArchiveUnreachable
from workers.archive.removing import ArchiveBusy
from workers.operations.audit import FAILED, MATCHED
from workers.operations.change import Change, Result
from workers.operations.erasing.alone import Alone
from workers.operations.erasing.compacting import Compacting
from workers.operations.erasing.files import write_files_again
from workers.operations.erasing.found import LEFT, Found, Place
from workers.operations.erasing.lines import until_let_go
from workers.operations.erasing.walk import Walk

__all__ = ["Erasure", "NobodyNamed"]

_PASSES: Final = 5
"""What comes in meanwhile is new; this is how often that is taken with the rest."""


class NobodyNamed(RouterError):
    """An erasure takes a company or a tenant: it never removes everything."""


class Erasure(Change[Found]):
    """Erases everything of whom `whose` selects; safe to repeat, and to go on with where one was killed.

    patience: seconds to wait for workers that have one of its events in hand. The audit keeps the digest of the ids.
    """

    patience: float = 10.0

    def __init__(self, store: Store, catalogue: Catalogue, settings: Settings, whose: Whose) -> None:
        super().__init__(store, "erase", selector=whose.describe())
        if whose.company is None and whose.tenant is None:
            raise NobodyNamed("erase takes --company or --tenant: it never removes everything")
        self._given = (store, catalogue, settings, whose)
        self._settings = settings
        self._alone = Alone(store)
        self._walk: Walk | None = None
        self.unreachable: dict[str, str] = {}
        """Why something could not be looked into, by the name of its place."""

    async def run(self, *, reason: str = "", **options: Any) -> Result:
        """Erase, as `Change.run` says; the audit keeps the reason without the ids.

        Raises ErasureUnderWay and ErasureForbidden, and ErasureOvertaken where another one may have run meanwhile.
        """
        return await super().run(reason=self._given[3].masked(reason), **options)

    async def freeze(self) -> datetime | None:
        """Look which streams and subscriptions there are."""
        self._walk = await Walk.over(*self._given)
        return datetime.now(UTC)

    async def found(self) -> AsyncIterator[Found]:
        """Yield everything that is stored of it."""
        assert self._walk is not None
        for place in self._walk.places:
            async for item in self._within_reach(place):
                yield item

    def kinds_of(self, item: Found) -> Sequence[str]:
        """Return its place."""
        return (item.place.name,)

    def owners_of(self, item: Found) -> Sequence[tuple[str, str]]:
        """Return whose it is, where that is known."""
        return (item.whose,) if any(item.whose) else ()

    def size_of(self, item: Found) -> int:
        """Return about how many bytes it takes."""
        return item.size

    async def rounds(self) -> AsyncGenerator[AsyncIterator[Found], None]:
        """Yield the items of one place after the other, and write the streams again in the end."""
        async with self._alone.held():
            await Erasures(self.store).note(self._given[3])
            walk = await Walk.over(*self._given, erasing=True)
            for _ in range(_PASSES):
                before = self.result.seen
                for place in walk.events:
                    yield self._within_reach(place)
                if self.result.seen == before:
                    break
            for place in (*walk.others, *walk.texts, walk.archive):
                yield self._within_reach(place)
            self.result.counts.update(await until_let_go(walk.ground, self.patience))
            await self._write_again(walk)
            await self._finish(walk)
            await self._alone.still()
            self._account()

    async def apply(self, batch: Sequence[Found]) -> Counter[str]:
        """Remove these, which are of one place."""
        await self._alone.still()
        return await batch[0].place.erase(batch)

    async def _write_again(self, walk: Walk) -> None:
        """Leave nothing of what was removed in the streams, and in the files of a server that is ours."""
        compacting = Compacting(self.store)
        for place in walk.texts:
            await self._attempt(place.key, partial(place.rewrite, compacting))
        for key in walk.streams():
            await self._attempt(key, partial(compacting.compact, key))
        if self._settings.redis.url == "embedded" and (why := await write_files_again(self.store)):
            self._leave(why)

    async def _within_reach(self, place: Place) -> AsyncIterator[Found]:
        """Yield what is in a place; one that cannot be reached keeps nobody from erasing the rest."""
        try:
            async for item in place.found():
                yield item
        except (ArchiveUnreachable, ConfigError) as error:
            self.unreachable[place.name] = str(error)

    async def _finish(self, walk: Walk) -> None:
        """Remove what is in the archive: the archiver can bring nothing there any more. Say what was out of reach."""
        for name, why in self.unreachable.items():
            if name != walk.archive.name:
                self._leave(f"the {name} could not be looked into: {why}")
        try:
            for why in await walk.archive.finish():
                self._leave(why)
        except (ArchiveUnreachable, ArchiveBusy, ConfigError) as error:
            self._leave(f"the archive still has it: {error}")

    async def _attempt(self, key: str, write: Callable[[], Awaitable[bool]]) -> None:
        await self._alone.still()
        try:
            done = await write()
        except StoreRefused as error:
            self.result.refusal = str(error)
            self._leave(f"{key} was not written again, so that the server keeps bytes of what was removed: {error}")
        else:
            if not done:
                self._leave(f"{key} changes too fast to be written again: erase once more when it is calmer")

    def _leave(self, why: str) -> None:
        self.result.counts[FAILED] += 1
        self.result.note(why)

    def _account(self) -> None:
        """Count what is left as failed, and what was found in later passes as matched."""
        counts = self.result.counts
        if left := counts[LEFT]:
            counts[FAILED] += left
            self.result.note(f"{left} left: a worker has them in hand, or a spool file is in use; erase once more then")
        counts[MATCHED] = max(counts[MATCHED], self.result.changed + self.result.failed)
