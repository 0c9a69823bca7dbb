"""The walk through every place that may have something of somebody, in the order in which events move."""

from collections.abc import AsyncIterator, Sequence

from config.settings import Settings
from router.events.catalogue import Catalogue
from router.events.whose import Whose
from router.store.client import Store
from workers.operations.erasing.archived import Archives
from workers.operations.erasing.entries import dead_places, stream_places
from workers.operations.erasing.found import Found, Ground, Place
from workers.operations.erasing.lines import HeldKeys, InLines, PausedCompanies
from workers.operations.erasing.names import Breakers, Filters, Incidents, LastWords, Muted, Notices, Quotas, Sweeps
from workers.operations.erasing.quarantine import Bodies
from workers.operations.erasing.spooled import Spooled
from workers.operations.erasing.texts import Texts, text_places
from workers.operations.erasing.traffic import Traffic
from workers.state.former import all_streams
from workers.state.groups import existing_groups

__all__ = ["Walk"]


class Walk:
    """All places: `events` have what moves, `others` what stays, `texts` what people wrote; and the `archive`."""

    def __init__(self, ground: Ground) -> None:
        names = ground.subscriptions
        self.ground = ground
        self.events: Sequence[Place] = [
            Spooled(ground),
            *(Bodies(ground, slug) for slug in ground.publishers),
            *stream_places(ground),
            *(InLines(ground, name) for name in names),
            *dead_places(ground),
        ]
        self.others: Sequence[Place] = [
            *(kind(ground, name) for kind in (HeldKeys, PausedCompanies) for name in names),
            *(
                kind(ground)
                for kind in (Quotas, Sweeps, Filters, Breakers, LastWords, Incidents, Muted, Notices, Traffic)
            ),
        ]
        self.texts: Sequence[Texts] = text_places(ground)
        self.archive = Archives(ground)

    @classmethod
    async def over(
        cls, store: Store, catalogue: Catalogue, settings: Settings, whose: Whose, *, erasing: bool = False
    ) -> "Walk":
        """Look which streams and subscriptions there are; raises StoreUnavailable."""
        found = await existing_groups(store, await all_streams(store, catalogue))
        groups = {stream: [group.name for group in each] for stream, each in found.items()}
        return cls(Ground(store, catalogue, whose, groups, settings, is_erasing=erasing))

    @property
    def places(self) -> list[Place]:
        """All of them."""
        return [*self.events, *self.others, *self.texts, self.archive]

    async def found(self) -> AsyncIterator[Found]:
        """Yield everything, place by place, in pages of bounded size; raises StoreUnavailable."""
        for place in self.places:
            async for item in place.found():
                yield item

    def streams(self) -> list[str]:
        """Return the keys of the streams from which something may have been removed, now or before."""
        ground, keys = self.ground, self.ground.store.keys
        own = [(stream, name) for stream in ground.streams for name in ground.groups[stream]]
        return [
            *(keys.events(stream) for stream in ground.streams),
            *(key(*each) for each in own for key in (keys.parked, keys.inbox, keys.dead)),
            *map(keys.quarantine, ground.publishers),
            keys.notices(),
        ]
