"""What is in the store itself when all is over: the streams, the dead letters, and what was left unfinished."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from router.store.client import Store, connect
from router.store.keys import Keys

__all__ = ["Stored", "look"]

_PAGE = 1000
_COUNT = """
-- KEYS: a stream, and the inbox, the due times and the parked ones of a subscription of it. ARGV: the subscription.
-- Reply: lag, pending, in the inbox, scheduled, and 1 where the stream has no such group.
local inbox, scheduled = redis.call('XLEN', KEYS[2]), redis.call('ZCARD', KEYS[3]) + redis.call('XLEN', KEYS[4])
if redis.call('EXISTS', KEYS[1]) == 0 then return {0, 0, inbox, scheduled, 0} end
for _, reply in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for i = 1, #reply, 2 do group[reply[i]] = reply[i + 1] end
  if group.name == ARGV[1] then return {group.lag or 0, group.pending, inbox, scheduled, 0} end
end
return {0, 0, inbox, scheduled, 1}
"""
"""One step: an event that moves between two questions would be seen in neither place."""


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
    """Read everything at a Redis URL of any kind that the settings take; raises what redis-py raises.

    What is unfinished is counted before the dead letters are read: a look that finds all settled misses none of them.
    """
    store = connect(url, Keys(prefix))
    try:
        stored = Stored()
        for stream in streams:
            stored.streams[stream] = [id_ async for id_ in _ids(store, store.keys.events(stream))]
        for subscription in subscriptions:
            stored.unfinished[subscription] = await _unfinished(store, streams, subscription)
            stored.dead[subscription] = await _dead(store, streams, subscription)
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
    client: Any = store.client
    keys, found = store.keys, Counter[str]()
    for stream in streams:
        places = (
            keys.events(stream),
            keys.inbox(stream, subscription),
            keys.due(stream, subscription),
            keys.parked(stream, subscription),
        )
        counts = await client.eval(_COUNT, len(places), *places, subscription)
        found += Counter(dict(zip(("lag", "pending", "inbox", "scheduled", "no group"), counts, strict=True)))
    return found
