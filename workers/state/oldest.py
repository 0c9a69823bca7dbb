"""How long the oldest event of each subscription has been waiting, or is in hand without being finished.

Retries that are scheduled wait on purpose and do not count; nor do dead letters.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from router.store.client import Store
from router.store.errors import forgiven, is_no_group
from router.store.reading import checked, order_of
from workers.state.overview import StreamOverview, SubscriptionOverview

_QUESTIONS = 3  # asked of each subscription on each stream

Way = tuple[str, str]
"""A stream and one of its subscriptions."""


async def oldest_waiting(
    store: Store, streams: Iterable[StreamOverview], clock: Callable[[], float] = time.time
) -> dict[Way, float]:
    """Return, where anything waits, the seconds since the oldest came to its stream or inbox; raises StoreUnavailable.

    One round trip for what is busy, none when nothing is. `clock` in epoch seconds.
    """
    busy = [way for seen in streams for way in seen.subscriptions if way.lag or way.pending]
    replies = iter(
        await store.commands([question for way in busy for question in _questions(store, way)]) if busy else ()
    )
    found = {(way.stream, way.name): _first(store, way, [next(replies) for _ in range(_QUESTIONS)]) for way in busy}
    now = clock() * 1000
    return {way: max(0.0, now - first) / 1000 for way, first in found.items() if first is not None}


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


def _first(store: Store, way: SubscriptionOverview, answer: Sequence[Any]) -> int | None:
    """Return when the oldest of what was found came in, in epoch milliseconds; None where the group is gone by now."""
    in_hand, *waiting = forgiven(answer, _keys(store, way), [])
    if is_no_group(in_hand):
        return None
    ids = [entry_id for entries in checked(waiting) for entry_id, _ in entries]
    if in_hand and (lowest := checked([in_hand])[0]["min"]) is not None:
        ids.append(lowest)
    came = [order_of(entry_id)[0] for entry_id in ids]
    return min([*came, way.lines.oldest] if way.lines.oldest is not None else came, default=None)
