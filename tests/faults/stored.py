"""What is in the store itself when all is over: the streams, the dead letters, and what was left unfinished."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from faults.order import Place

from router.store.client import Store, connect
from router.store.keys import LINES, Keys
from router.store.record import MERGED
from workers import Coalesce

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
_SIZES = """
-- KEYS: those of the lines of a subscription. Reply: how much each of them has.
local sizes = {}
for i, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  local count = { zset = 'ZCARD', hash = 'HLEN', stream = 'XLEN', string = 'STRLEN' }
  sizes[i] = kind == 'none' and 0 or redis.call(count[kind], key)
end
return sizes
"""
_LASTING = ("read", "mover", "wake", "clock")
"""What stays of lines that are empty."""


@dataclass(slots=True)
class Stored:
    """The ids in each stream, in order; the dead letters of each subscription; and what is not finished there."""

    streams: dict[str, list[str]] = field(default_factory=dict)
    dead: dict[str, Counter[str]] = field(default_factory=dict)
    unfinished: dict[str, Counter[str]] = field(default_factory=dict)
    """For each subscription, how many deliveries wait where: lag, pending, inbox, scheduled, each part of its lines."""
    quarantined: int = 0
    places: dict[str, Place] = field(default_factory=dict)
    """Where each event stands in its stream."""
    kept: set[str] = field(default_factory=set)
    """The events that are never merged into others."""
    dead_with: dict[str, set[str]] = field(default_factory=dict)
    """For each subscription, the events that were merged into dead letters."""

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
            stored.streams[stream] = [id_ async for id_ in _placed(store, stream, stored)]
        for subscription in subscriptions:
            stored.unfinished[subscription] = await _unfinished(store, streams, subscription)
            stored.dead[subscription], stored.dead_with[subscription] = await _dead(store, streams, subscription)
        for publisher in {stream.partition("/")[0] for stream in streams}:
            stored.quarantined += await store.client.xlen(store.keys.quarantine(publisher))
        return stored
    finally:
        await store.aclose()


async def _entries(store: Store, key: str) -> AsyncIterator[tuple[bytes, dict[bytes, bytes]]]:
    client: Any = store.client
    start = "-"
    while entries := await client.xrange(key, start, "+", _PAGE):
        for entry in entries:
            yield entry
        start = f"({entries[-1][0].decode()}"


async def _placed(store: Store, stream: str, stored: Stored) -> AsyncIterator[str]:
    """Yield the ids of a stream, and note where each stands."""
    async for entry_id, fields in _entries(store, store.keys.events(stream)):
        id_ = fields[b"id"].decode()
        millis, number = entry_id.split(b"-")
        stored.places.setdefault(id_, Place(stream, int(millis), int(number)))
        if json.loads(fields[b"event"]).get("action") in Coalesce(0, 0).keep:
            stored.kept.add(id_)
        yield id_


async def _dead(store: Store, streams: Sequence[str], subscription: str) -> tuple[Counter[str], set[str]]:
    found, merged = Counter[str](), set[str]()
    for stream in streams:
        async for _, fields in _entries(store, store.keys.dead(stream, subscription)):
            found[fields[b"id"].decode()] += 1
            merged.update(id_ for id_, *_ in json.loads(fields.get(MERGED, b"[]")))
    return found, merged


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
    lines = keys.lines(subscription)  # counted behind the streams, since events go from these to those
    sizes = zip(LINES, await client.eval(_SIZES, len(lines), *lines), strict=True)
    return found + Counter({f"in {name}": size for name, size in sizes if name not in _LASTING})
