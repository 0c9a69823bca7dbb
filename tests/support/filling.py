"""Puts into a store what ingress and workers would have put there."""

import json
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from config.settings import DriftSettings
from router.store import scripts
from router.store.breakers import Circuit
from router.store.client import Store
from router.store.limits import Quota
from workers.drift.kept import Kept, Report
from workers.drift.schema import Schema
from workers.incidents import Incident, Incidents

__all__ = [
    "CUSTOMERS",
    "FINANCIAL",
    "history",
    "put_breaker",
    "put_dead",
    "put_events",
    "put_group",
    "put_incident",
    "put_limit",
    "put_many",
    "put_quarantined",
    "put_schema",
    "raw_of",
    "schedule_many",
]

FINANCIAL = "visma-net-financial"
CUSTOMERS = f"{FINANCIAL}/customer_changed"
_WINDOW = 60_000


def raw_of(event_id: str, stream: str = CUSTOMERS, resource: str = "customer/1", company: int = 7) -> bytes:
    """Return a notification in the dialect of the Changed events."""
    body = {
        "event": stream.partition("/")[2],
        "notificationId": event_id,
        "resourceId": resource.rpartition("/")[2],
        "relativeResourceUri": f"v1/{resource}",
        "contextId": company,
    }
    return json.dumps(body).encode()


async def put_events(
    store: Store, *ids: str, stream: str = CUSTOMERS, at: int = 1_760_000_000_000, **raw: Any
) -> list[str]:
    """Append events as ingress does; return their entry ids."""
    fields = [part for id_ in ids for part in ("id", id_, "at", at, "raw", raw_of(id_, stream, **raw))]
    markers = [store.keys.seen(stream, id_) for id_ in ids]
    reply = await store.call(scripts.append(store.keys.events(stream), markers, fields, _WINDOW))
    return [entry_id.decode() for entry_id in reply]


async def put_schema(store: Store, *reports: Report, stream: str = CUSTOMERS, seen: int = 600) -> None:
    """Have the fields of a type be learnt of so many notifications, every other of which has a note."""
    schema = Schema()
    for at in range(seen):
        schema.learn({"id": "text", "note": "text" if at % 2 else "null"}, "1", at, DriftSettings())
    kept = msgspec.json.encode(Kept("1-1", 1, schema, [*reports]))
    await store.client.hset(store.keys.schemas(), stream, kept)


async def put_group(store: Store, name: str, *streams: str) -> None:
    """Make a subscription as a worker does: a group on each stream and on its inbox."""
    for stream in streams or (CUSTOMERS,):
        for key in (store.keys.events(stream), store.keys.inbox(stream, name)):
            await store.client.xgroup_create(key, name, "0", mkstream=True)


def history(*messages: str, error: str = "ValueError") -> bytes:
    """Return the history of attempts that failed with these messages."""
    lines = [
        {"at": f"2025-01-01T00:00:0{number}+00:00", "attempt": number, "error": error, "message": message}
        for number, message in enumerate(messages, 1)
    ]
    return "\n".join(map(json.dumps, lines)).encode()


async def put_dead(
    store: Store,
    event_id: str,
    *,
    subscription: str = "sync",
    stream: str = CUSTOMERS,
    fields: Mapping[str, Any] | None = None,
    entry_id: str = "*",
    **raw: Any,
) -> str:
    """Add a dead letter, of three attempts unless `fields` say otherwise; return its entry id."""
    whole = {
        "id": event_id,
        "at": 1_760_000_000_000,
        "raw": raw_of(event_id, stream, **raw),
        "attempts": 3,
        "history": history("no customer 1", "no customer 2", "no customer 3"),
        "reason": "failed 3 of 3 attempts",
        **(fields or {}),
    }
    added = await store.client.xadd(store.keys.dead(stream, subscription), whole, id=entry_id)
    return str(added.decode())


async def put_quarantined(
    store: Store, raw: bytes, *, publisher: str = FINANCIAL, reason: str = "not valid JSON"
) -> str:
    """Add to the quarantine; return the entry id."""
    fields = {"id": f"sha256:{len(raw)}", "at": 1_760_000_000_000, "reason": reason, "raw": raw}
    return str((await store.client.xadd(store.keys.quarantine(publisher), fields)).decode())


_MANY = """
for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local name = string.format('%s%06d', ARGV[3], i)
  local raw = string.gsub(ARGV[4], 'NAME', name)
  local id = redis.call('XADD', KEYS[1], '*', 'id', name, 'at', '1', 'raw', raw)
  if KEYS[2] then
    redis.call('ZADD', KEYS[2], string.format('%.3f', ARGV[5] + i / 1000), id)
  end
end
"""


async def put_many(store: Store, number: int, prefix: str = "many-", stream: str = CUSTOMERS) -> None:
    """Append this many events to a stream of a real server: `many-000000` and so on."""
    raw = raw_of("NAME", stream)
    for start in range(0, number, 5000):
        last = min(number, start + 5000) - 1
        await store.client.eval(_MANY, 1, store.keys.events(stream), start, last, prefix, raw)


async def schedule_many(
    store: Store, number: int, subscription: str, due: int, prefix: str = "retry-", stream: str = CUSTOMERS
) -> None:
    """Schedule this many retries on a real server, from `due` (epoch milliseconds) on one each microsecond."""
    keys, raw = store.keys, raw_of("NAME", stream)
    for start in range(0, number, 5000):
        last = min(number, start + 5000) - 1
        places = (keys.parked(stream, subscription), keys.due(stream, subscription))
        await store.client.eval(_MANY, 2, *places, start, last, prefix, raw, due)


async def put_breaker(store: Store, name: str = "crm", reason: str = "status 503") -> None:
    """Have workers find a target down."""
    circuit = Circuit(store.keys, name, 1, 10.0)
    await store.call(circuit.failed(0, reason))
    await store.command("ZADD", store.keys.breakers(), round(time.time() * 1000), name)


async def put_limit(store: Store, name: str = "crm", subject: str = "t/7", rate: int = 2) -> None:
    """Have a worker use up a quota."""
    quota = Quota(store.keys, name, subject, 3600.0, rate)
    for _ in range(rate + 1):
        await store.call(quota.take("w1", 0, 0.0))
    await store.command("ZADD", store.keys.limits(), round(time.time() * 1000), name)


async def put_incident(store: Store, kind: str = "silence", subject: str = f"{FINANCIAL}/7") -> None:
    """Have an incident begin, and mute another of the same kind."""
    what = f"Nothing has come from {subject} since 2026-01-12 08:00 UTC."
    incident = Incident(kind, subject, 1_768_204_800_000, what, "Look.", "event-router doctor")
    await Incidents(store).open(incident)
    await Incidents(store).mute(kind, f"{FINANCIAL}/8")
