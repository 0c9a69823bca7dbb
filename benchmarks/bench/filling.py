"""Puts into a server what ingress and workers would have put there, many at once."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from bench.bodies import STREAM, event_id, notification
from router.events.catalogue import Catalogue
from router.events.identify import Identified, identify
from router.intake.entry import entry_of
from router.store import scripts
from router.store.keys import Keys

__all__ = ["GROUP", "KEYS", "dead_letters", "events", "finished", "retries", "stream"]

GROUP = "bench"
KEYS = Keys()
_CATALOGUE = Catalogue.load()
_WINDOW = 7 * 24 * 3600 * 1000
_AT_ONCE = 2_000
_FAR = 4_000_000_000_000  # epoch milliseconds, in a hundred years
_MANY = """
for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local name = string.format('%s%012x', ARGV[3], i)
  local values = {}
  for f = 5, #ARGV do
    values[f - 4] = (string.gsub(ARGV[f], 'NAME', name))
  end
  local id = redis.call('XADD', KEYS[1], '*', unpack(values))
  if KEYS[2] then
    redis.call('ZADD', KEYS[2], ARGV[4], id)
  end
end
"""
"""Adds entries numbered from ARGV[1] to ARGV[2]; NAME in a value is each one's id, which begins with ARGV[3]."""


def events(
    client: Any,
    ids: Sequence[str],
    *,
    name: str = STREAM,
    size: int = 0,
    bare: bool = False,
    resource: Callable[[str], str] = lambda _id: "55555",
    company: str = "5100001",
) -> None:
    """Append events to a stream as ingress does, with their markers.

    `bare`: as ingress did before entries had the normalised event. `resource` tells whose event an id is.
    """
    event = name.partition("/")[2]
    for start in range(0, len(ids), 1000):
        pipe = client.pipeline(transaction=False)
        for at in range(start, min(start + 1000, len(ids)), scripts.BATCH):
            batch = ids[at : at + scripts.BATCH]
            bodies = [notification(id_, event, size, resource=resource(id_), company=company) for id_ in batch]
            fields = [part for body in bodies for part in _entry(body, name, bare=bare)]
            call = scripts.append(KEYS.events(name), [KEYS.seen(name, id_) for id_ in batch], fields, _WINDOW)
            pipe.eval(call.script.source, len(call.keys), *call.keys, *call.args)
        pipe.execute()


def _entry(raw: bytes, name: str = STREAM, *, bare: bool = False) -> Sequence[scripts.Field]:
    """Return the fields of the entry that ingress makes of a notification."""
    publisher = name.partition("/")[0]
    [item] = identify(_CATALOGUE, publisher, raw, None)
    if bare and isinstance(item, Identified):
        item = Identified(item.stream, item.id, item.raw)
    return entry_of(KEYS, publisher, item, 1_760_000_000_000).fields


def stream(client: Any, number: int, space: int) -> None:
    """Append so many events, of an id space, without markers."""
    _many(client, (KEYS.events(STREAM),), number, space, _event())


def finished(client: Any, number: int) -> None:
    """Leave so many events in the stream that the group has finished."""
    stream(client, number, 1)
    client.xgroup_create(KEYS.events(STREAM), GROUP, "$", mkstream=True)


def retries(client: Any, number: int) -> None:
    """Schedule so many retries, due in a hundred years."""
    keys = (KEYS.parked(STREAM, GROUP), KEYS.due(STREAM, GROUP))
    _many(client, keys, number, 2, (*_event(), "attempts", 1, "crashes", 0, "history", _history(1)))


def dead_letters(client: Any, number: int) -> None:
    """Leave so many dead letters of three attempts; a hundredth failed in another way than the rest."""
    key = KEYS.dead(STREAM, GROUP)
    reason = ("reason", "failed 3 of 3 attempts")
    usual = (*_event(), "attempts", 3, "crashes", 0, "history", _history(3), *reason)
    _many(client, (key,), number - number // 100, 3, usual)
    rare = (*_event(), "attempts", 3, "crashes", 0, "history", _history(3, "KeyError"), *reason)
    _many(client, (key,), number // 100, 4, rare)


def _event() -> tuple[Any, ...]:
    """Return the fields of an entry with NAME where its id is, which ingress would write in lower case."""
    fields = _entry(notification("name"))
    return tuple("NAME" if part == "name" else _named(part) if isinstance(part, bytes) else part for part in fields)


def _named(value: bytes) -> bytes:
    return value.replace(b'"name"', b'"NAME"')


def _history(attempts: int, error: str = "TimeoutError") -> str:
    trace = 'Traceback (most recent call last):\n  File "sync.py", line 12, in sync\n' * 3
    at = "2026-01-01T00:00:00+00:00"
    lines = (
        {"at": at, "attempt": attempt, "error": error, "message": "customer NAME", "traceback": trace}
        for attempt in range(1, attempts + 1)
    )
    return "\n".join(map(json.dumps, lines))


def _many(client: Any, keys: Sequence[str], number: int, space: int, fields: Sequence[Any]) -> None:
    prefix = event_id(0, space)[:-12]
    for start in range(0, number, _AT_ONCE):
        last = min(number, start + _AT_ONCE) - 1
        client.eval(_MANY, len(keys), *keys, start, last, prefix, _FAR, *fields)
