"""Watching dead letters as they come, of subscriptions that begin meanwhile, too."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from router.store.client import Store
from router.store.errors import StoreUnavailable
from router.store.following import Following
from router.store.reading import last_ids, order_of
from router.tasks.ending import end
from workers.operations.dead_letters.entry import DeadLetterEntry
from workers.operations.dead_letters.letters import DeadLetters, Pile
from workers.operations.dead_letters.selector import Selector

DISCOVER = 30.0
"""Seconds between two looks for subscriptions that are new; their dead letters are read, however long that takes."""

_BEGINNING = "0-0"


async def watch(
    store: Store,
    letters: DeadLetters,
    selector: Selector,
    away: Callable[[BaseException | None], None],
    *,
    discover: float = DISCOVER,
) -> AsyncIterator[DeadLetterEntry]:
    """Yield dead letters as they come, without an end; first those since a time, if the selector has one.

    `away` as in `Following`. Raises StoreUnavailable only if the store is away from the beginning.
    """
    piles: dict[str, Pile] = {}
    following = Following(store, away)
    first = await letters.piles(selector)
    following.add(await _cursors(store, first))
    piles.update({pile.key: pile for pile in first})

    async def look_for_more() -> None:
        while True:
            await asyncio.sleep(discover)
            with contextlib.suppress(StoreUnavailable):
                found = await letters.piles(selector)
                piles.update({pile.key: pile for pile in found})
                following.add({pile.key: _BEGINNING for pile in found})

    looking = asyncio.create_task(look_for_more())
    try:
        async for key, (entry_id, fields) in following.entries():
            letter = letters.read(piles[key], entry_id, fields)
            if selector.matches(letter):
                yield letter
    finally:
        await end([looking])
        await following.aclose()


async def _cursors(store: Store, piles: Sequence[Pile]) -> dict[str, str]:
    """Return after which entry of each pile to begin: its last one, or the last before the selected time."""
    last = await last_ids(store, [pile.key for pile in piles])
    return {pile.key: _before(pile.span.first) or last[pile.key] for pile in piles}


def _before(first: str) -> str | None:
    """Return the last id that is before this one; None where it stands for the beginning."""
    if first == "-":
        return None
    millis, number = order_of(first)
    return f"{millis}-{number - 1}" if number else f"{millis - 1}-{2**64 - 1}" if millis else _BEGINNING
