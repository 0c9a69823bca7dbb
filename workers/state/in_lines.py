"""What the lines of keyed subscriptions hold of each stream."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from router.store.client import Store
from router.store.errors import forgiven
from router.store.lines import Lines
from router.store.reading import checked

_LOOKED_AT: Final = 1000
"""Keys of each subscription that are looked at, at most: of those beyond it is not known what runs or is due later."""


class InLines(NamedTuple):
    """Events of one stream in the lines of a subscription.

    waiting: for a worker, behind another of their key or for an operator; with what is merged into one in hand.
    scheduled: their next attempt is due later. ready: when the first of those came in whose key is ready or in hand,
    epoch milliseconds; oldest: the first of all that wait or are in hand; None where there is none.
    """

    waiting: int = 0
    in_hand: int = 0
    scheduled: int = 0
    ready: int | None = None
    oldest: int | None = None


async def in_lines(store: Store, names: Iterable[str]) -> Mapping[tuple[str, str], InLines]:
    """Return by stream and subscription what is in the lines, in one round trip; raises StoreUnavailable."""
    asked = [*dict.fromkeys(names)]
    lines = [Lines(store.keys, name) for name in asked]
    replies = await store.run([line.figures(_LOOKED_AT) for line in lines]) if lines else []
    found = checked(forgiven(replies, [line.read for line in lines], []))
    return {
        (stream.decode(), name): InLines(max(0, events - in_hand - scheduled), in_hand, scheduled, *_known(came))
        for name, rows in zip(asked, found, strict=True)
        for stream, events, in_hand, scheduled, *came in rows
    }


def _known(came: Sequence[int]) -> list[int | None]:
    return [moment or None for moment in came]
