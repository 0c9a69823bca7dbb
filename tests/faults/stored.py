"""What is in the store itself when all is over: the streams, the dead letters, and what was left unfinished."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from router.store.client import Store, connect
from router.store.keys import Keys

__all__ = ["Stored", "look"]

_PAGE = 1000


@dataclass(slots=True)
class Stored:
    """The ids in each stream, in order; the dead letters of each subscription; and what is not finished there."""

    streams: dict[str, list[str]] = field(default_factory=dict)
    dead: dict[str, Counter[str]] = field(default_factory=dict)
    unfinished: dict[str, Counter[str]] = field(default_factory=dict)
    """For each subscription, how many deliveries wait where: lag, pending, inbox, scheduled."""
    quarantined: int = 0

    @property
    def settled(self) -> bool:
        """Whether every delivery has come to its end."""
        return not any(count.total() for count in self.unfinished.values())


async def look(url: str, streams: Sequence[str], subscriptions: Sequence[str], *, prefix: str = "er") -> Stored:
    """Read everything at a Redis URL of any kind that the settings take; raises what redis-py raises."""
    store = connect(url, Keys(prefix))
    try:
        stored = Stored()
        for stream in streams:
            stored.streams[stream] = [id_ async for id_ in _ids(store, store.keys.events(stream))]
        for subscription in subscriptions:
            stored.dead[subscription] = await _dead(store, streams, subscription)
            stored.unfinished[subscription] = await _unfinished(store, streams, subscription)
        for publisher in {stream.partition("/")[0] for stream in streams}:
            stored.quarantined += await store.client.xlen(store.keys.quarantine(publisher))
        return stored
    finally:
        await store.aclose()


async def _ids(store: Store, key: str) -> AsyncIterator[str]:
    client: Any = store.client
    start = "-"
    while entries := await client.xrange(key, start, "+", _PAGE):
        for _, fields in entries:
            yield fields[b"id"].decode()
        start = f"({entries[-1][0].decode()}"


async def _dead(store: Store, streams: Sequence[str], subscription: str) -> Counter[str]:
    return Counter([id_ for stream in streams async for id_ in _ids(store, store.keys.dead(stream, subscription))])


async def _unfinished(store: Store, streams: Sequence[str], subscription: str) -> Counter[str]:
    client, keys, found = store.client, store.keys, Counter[str]()
    for stream in streams:
        found["inbox"] += await client.xlen(keys.inbox(stream, subscription))
        found["scheduled"] += await client.zcard(keys.due(stream, subscription))
        found["scheduled"] += await client.xlen(keys.parked(stream, subscription))
        found += await _backlog(store, keys.events(stream), subscription)
    return found


async def _backlog(store: Store, key: str, subscription: str) -> Counter[str]:
    if not await store.client.exists(key):
        return Counter()
    groups: list[dict[bytes, Any]] = await store.client.execute_command("XINFO", "GROUPS", key)
    group = next((group for group in groups if group[b"name"].decode() == subscription), None)
    return Counter({"no group": 1}) if group is None else Counter(lag=group[b"lag"] or 0, pending=group[b"pending"])
