"""How long the oldest event of each subscription has been waiting, or is in hand without being finished.

Of a keyed subscription, apart from that, how long the oldest has that a worker could handle now: what waits for an
operator, behind another event of its key or for more to merge waits on purpose.

Retries that are scheduled wait on purpose and do not count; nor do dead letters.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from router.store.client import Store
from router.store.errors import forgiven, is_no_group
from router.store.reading import checked, order_of
from workers.state.overview import StreamOverview, SubscriptionOverview

_QUESTIONS = 3  # asked of each subscription on each stream

Way = tuple[str, str]
"""A stream and one of its subscriptions."""


class Waits(NamedTuple):
    """For how long, in seconds, the oldest event waits or is in hand; and the oldest that no key or pause holds up."""

    oldest: float
    ready: float | None = None


async def oldest_waiting(
    store: Store, streams: Iterable[StreamOverview], clock: Callable[[], float] = time.time
) -> dict[Way, Waits]:
    """Return, where anything waits, for how long since it came to its stream or inbox; raises StoreUnavailable.

    One round trip for what is busy, none when nothing is. `clock` in epoch seconds.
    """
    busy = [way for seen in streams for way in seen.subscriptions if way.lag or way.pending]
    replies = iter(
        await store.commands([question for way in busy for question in _questions(store, way)]) if busy else ()
    )
    now = clock() * 1000

    def seconds(came: Iterable[int | None]) -> float | None:
        first = min((moment for moment in came if moment is not None), default=None)
        return None if first is None else max(0.0, now - first) / 1000

    waits = {}
    for way in busy:
        first = _first(store, way, [next(replies) for _ in range(_QUESTIONS)])
        if (oldest := seconds([*first, way.lines.oldest, way.lines.ready])) is not None:
            waits[way.stream, way.name] = Waits(oldest, seconds([*first, way.lines.ready]))
    return waits


def _questions(store: Store, way: SubscriptionOverview) -> list[tuple[Any, ...]]:
    events, _, inbox = _keys(store, way)
    return [
        ("XPENDING", events, way.name),
        ("XRANGE", events, f"({way.last_delivered}", "+", "COUNT", 1),
        ("XRANGE", inbox, "-", "+", "COUNT", 1),
    ]


def _keys(store: Store, way: SubscriptionOverview) -> list[str]:
    events = store.keys.events(way.stream)
    return [events, events, store.keys.inbox(way.stream, way.name)]


def _first(store: Store, way: SubscriptionOverview, answer: Sequence[Any]) -> list[int]:
    """Return when the first of what the streams hold came in, epoch milliseconds; nothing of a group that is gone."""
    in_hand, *waiting = forgiven(answer, _keys(store, way), [])
    if is_no_group(in_hand):
        return []
    ids = [entry_id for entries in checked(waiting) for entry_id, _ in entries]
    if in_hand and (lowest := checked([in_hand])[0]["min"]) is not None:
        ids.append(lowest)
    return [order_of(entry_id)[0] for entry_id in ids]
