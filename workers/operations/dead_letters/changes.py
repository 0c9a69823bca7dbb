"""Replaying and purging dead letters."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Literal

from router.events.catalogue import Catalogue
from router.events.event import Event
from router.store.client import Store
from router.store.reading import moment_of
from workers.operations.change import Change, Preview
from workers.operations.dead_letters.entry import DeadLetterEntry
from workers.operations.dead_letters.letters import DeadLetters, Pile
from workers.operations.dead_letters.selector import Selector
from workers.state.filters import wheres


class DeadLetterChange(Change[DeadLetterEntry]):
    """A change of the selected dead letters, of each subscription and stream the oldest first.

    `where`: and only of those for which it returns true. `renormalise` as in `DeadLetters`.
    """

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        verb: Literal["replay", "purge"],
        selector: Selector,
        *,
        where: Callable[[DeadLetterEntry], bool] | None = None,
        most: int | None = None,
        renormalise: bool = False,
    ) -> None:
        given = selector.describe() | ({"renormalise": "true"} if renormalise else {})
        super().__init__(store, f"dlq {verb}", selector=given, most=most)
        self._letters = DeadLetters(store, catalogue, renormalise=renormalise)
        self._replays = verb == "replay"
        self._wanted = selector
        self._where = where
        self._piles: Sequence[Pile] = ()

    async def freeze(self) -> datetime | None:
        """Settle the last dead letter of each pile: what is replayed and dies again at once is not met twice."""
        self._piles = await self._letters.freeze(self._wanted)
        if self._replays:
            self.filters = await wheres(self.store, sorted({pile.subscription for pile in self._piles}))
        return max((moment_of(pile.span.last) for pile in self._piles), default=None)

    async def found(self) -> AsyncIterator[DeadLetterEntry]:
        """Yield the oldest of each pile first."""
        async for letter in self._letters.oldest(self._wanted, self._piles):
            if self._where is None or self._where(letter):
                yield letter

    def count(self, seen: Preview[DeadLetterEntry]) -> bool:
        """Count by the lengths of the piles, where it does not matter what is in them."""
        if not self._wanted.is_of_places or self._where is not None:
            return False
        for pile in self._piles:
            if self.most is None or seen.number < self.most:
                seen.number += pile.length
                seen.subscriptions.add(pile.subscription)
        seen.number = seen.number if self.most is None else min(seen.number, self.most)
        return True

    def subscriptions_of(self, item: DeadLetterEntry) -> Sequence[str]:
        """Return the subscription that failed."""
        return (item.subscription,)

    def event_of(self, item: DeadLetterEntry) -> Event | None:
        """Return the event that is replayed."""
        return item.event

    async def apply(self, batch: Sequence[DeadLetterEntry]) -> Counter[str]:
        """Replay or purge these."""
        done = await (self._letters.replay(batch, self.reason) if self._replays else self._letters.purge(batch))
        self.result.refusal = done.refusal or self.result.refusal
        return done.counts()
