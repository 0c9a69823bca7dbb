"""How long the oldest event of each subscription has been waiting, or is in hand without being finished.

Retries that are scheduled wait on purpose and do not count; nor do dead letters.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from router.store.client import Store
from router.store.errors import forgiven, is_no_group
from router.store.reading import checked, order_of
from workers.state.groups import Group, existing_groups
from workers.state.overview import StreamOverview

_QUESTIONS = 3  # asked of each subscription on each stream

Way = tuple[str, str]
"""A stream and one of its subscriptions."""


async def oldest_waiting(
    store: Store, streams: Iterable[StreamOverview], clock: Callable[[], float] = time.time
) -> dict[Way, float]:
    """Return, where anything waits, the seconds since the oldest came to its stream or inbox; raises StoreUnavailable.

    Two round trips for what is busy, none when nothing is. `clock` in epoch seconds.
    """
    busy = [(seen.stream, way.name) for seen in streams for way in seen.subscriptions if way.lag or way.pending]
    if not busy:
        return {}
    groups = await _groups(store, busy)
    ways = [way for way in busy if way in groups]
    questions = [question for way in ways for question in _questions(store, way, groups[way])]
    replies = iter(await store.commands(questions))
    answers = [forgiven([next(replies) for _ in range(_QUESTIONS)], _keys(store, way), []) for way in ways]
    now = clock() * 1000
    return {
        way: max(0.0, now - first) / 1000
        for way, answer in zip(ways, answers, strict=True)
        if (first := _first(answer)) is not None
    }


async def _groups(store: Store, busy: Sequence[Way]) -> dict[Way, Group]:
    found = await existing_groups(store, list(dict.fromkeys(stream for stream, _ in busy)))
    return {(stream, group.name): group for stream, groups in found.items() for group in groups}


def _questions(store: Store, way: Way, group: Group) -> list[tuple[Any, ...]]:
    events, _, inbox = _keys(store, way)
    return [
        ("XPENDING", events, way[1]),
        ("XRANGE", events, f"({group.last_delivered}", "+", "COUNT", 1),
        ("XRANGE", inbox, "-", "+", "COUNT", 1),
    ]


def _keys(store: Store, way: Way) -> list[str]:
    events = store.keys.events(way[0])
    return [events, events, store.keys.inbox(*way)]


def _first(answer: Sequence[Any]) -> int | None:
    """Return when the oldest of what was found came in, in epoch milliseconds."""
    in_hand, *waiting = answer
    ids = [entry_id for entries in checked(waiting) for entry_id, _ in entries]
    if in_hand and not is_no_group(in_hand) and (lowest := checked([in_hand])[0]["min"]) is not None:
        ids.append(lowest)
    return min((order_of(entry_id)[0] for entry_id in ids), default=None)
