"""Removing a subscription: its groups, its retries and, only where that is asked for, its dead letters.

The events stay in their streams, for the other subscriptions and until retention takes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from redis.exceptions import ResponseError

from router.store import scripts
from router.store.client import Store
from router.store.reading import checked

__all__ = ["Removed", "remove_subscription"]


_FORBIDDEN = -1


@dataclass(frozen=True, slots=True)
class Removed:
    """What became of a removal: how many dead letters went, and on which streams the subscription is left.

    kept: because there are dead letters, which are to be kept. refused: because the server would not, with its words.
    """

    dead_letters: int
    kept: tuple[str, ...]
    refused: dict[str, str]


async def remove_subscription(
    store: Store, streams: Sequence[str], name: str, *, dead_letters: bool, in_part: bool = False
) -> Removed:
    """Remove a subscription from these streams, from each at once or not at all; safe to repeat.

    No worker may read these streams for it: it would make the groups again and be given all events once more.
    `in_part`: it has other streams, and workers that live. What it leaves behind when it is interrupted can still be
    found by its groups. Raises StoreUnavailable.
    """
    if not in_part:
        own = (store.keys.consumers(name), store.keys.pause(name), store.keys.halted(name))
        checked(await store.commands([("UNLINK", *own)]))
    replies = await store.run([_call(store, stream, name, dead_letters=dead_letters) for stream in streams])
    checked([reply for reply in replies if not isinstance(reply, ResponseError)])
    outcomes = dict(zip(streams, replies, strict=True))
    refused = {stream: str(reply) for stream, reply in outcomes.items() if isinstance(reply, ResponseError)}
    dead = {stream: reply for stream, reply in outcomes.items() if stream not in refused}
    kept = tuple(stream for stream, number in dead.items() if number == _FORBIDDEN)
    return Removed(sum(dead.values()) - _FORBIDDEN * len(kept), kept, refused)


def _call(store: Store, stream: str, name: str, *, dead_letters: bool) -> scripts.Call:
    keys = store.keys
    own = [key(stream, name) for key in (keys.inbox, keys.due, keys.parked, keys.dead, keys.restored)]
    return scripts.remove(keys.events(stream), own, name, dead_letters=dead_letters)
