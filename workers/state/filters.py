"""The filters of subscriptions as the store has them: the conditions, since which entries, and how much was skipped.

A filter is in a worker's code or settings, which nobody else sees. So workers write down which one they run, and behind
which entry of each stream it began: what came later, and does not pass, was skipped. Nothing is kept of single events.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from config.errors import ConfigError
from router.events.event import Event
from router.store.client import Store
from router.store.errors import StoreRefused, forgiven, is_refusal
from router.store.reading import checked, is_entry_id, named_values, order_of
from router.telemetry import logs
from workers.state.groups import existing_groups
from workers.where import Where

__all__ = ["Filter", "Tally", "filters", "note_filter", "wheres"]

_WHERE: Final = b"where"
_AFTER: Final = "after:"
_SKIPPED: Final = "skipped:"
_PAUSE: Final = 0.2
"""Seconds from one writing of counts to the next."""
_log = logs.get("worker")


@dataclass(frozen=True, slots=True)
class Filter:
    """What is known of a subscription's filter: `where` is None where it has none now.

    after: the last entry of each stream that the filter did not judge. skipped: events by stream, ever; of a worker
    that was killed the last moment may be missing.
    """

    where: Where | None = None
    after: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)

    def skips(self, stream: str, entry_id: str, event: Event) -> bool:
        """Return whether an event, at this place, was judged by this filter and did not pass."""
        after = self.after.get(stream)
        if self.where is None or after is None or order_of(entry_id) <= order_of(after):
            return False
        return not self.where.passes(event)


async def note_filter(store: Store, name: str, where: Where | None, streams: Sequence[str]) -> None:
    """Write down which filter a subscription has from now on; raises StoreUnavailable.

    To be called when its groups are there, before it reads.
    """
    key = store.keys.filter(name)
    try:
        known = named_values(await store.command("HGETALL", key))
        written = b"" if where is None else str(where).encode(errors="backslashreplace")
        changed = known.get(_WHERE, b"") != written
        begin = [stream for stream in streams if changed or f"{_AFTER}{stream}".encode() not in known]
        if changed and (gone := [name for name in known if name == _WHERE or name.startswith(_AFTER.encode())]):
            await store.command("HDEL", key, *gone)
        if where is not None and (changed or begin):
            places = await _places(store, name, begin)
            await store.command("HSET", key, _WHERE, written, *places)
    except StoreRefused as error:  # as the ACL of an older version does
        _log.warning("filter_not_noted", subscription=name, error=str(error))


async def _places(store: Store, name: str, streams: Sequence[str]) -> list[str]:
    groups = await existing_groups(store, streams)
    found = {stream: group.last_delivered for stream in streams for group in groups[stream] if group.name == name}
    return [part for stream, last in found.items() for part in (f"{_AFTER}{stream}", last)]


async def filters(store: Store, names: Sequence[str]) -> dict[str, Filter]:
    """Return the filters of these subscriptions, of those that have or had one; raises StoreUnavailable."""
    keys = [store.keys.filter(name) for name in names]
    replies = checked(forgiven(await store.commands([("HGETALL", key) for key in keys]), keys, {})) if keys else []
    found = {name: named_values(reply) for name, reply in zip(names, replies, strict=True)}
    return {name: _filter(values) for name, values in found.items() if values}


async def wheres(store: Store, names: Sequence[str]) -> dict[str, Where]:
    """Return the conditions of these subscriptions, of those that have a filter now; raises StoreUnavailable."""
    return {name: found.where for name, found in (await filters(store, names)).items() if found.where}


def _filter(values: Mapping[bytes, bytes]) -> Filter:
    texts = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in values.items()}
    after = {
        name.removeprefix(_AFTER): text
        for name, text in texts.items()
        if name.startswith(_AFTER) and is_entry_id(text.encode())
    }
    skipped = {name.removeprefix(_SKIPPED): text for name, text in texts.items() if name.startswith(_SKIPPED)}
    numbers = {stream: int(text) for stream, text in skipped.items() if text.isdigit()}
    return Filter(_where(texts.get(_WHERE.decode(), "")), after, numbers)


def _where(text: str) -> Where | None:
    """Return a filter that was written down; None where there is none, or one of a later version."""
    try:
        conditions: Any = json.loads(text) if text else None
        return Where(conditions) if conditions else None
    except (ValueError, ConfigError, RecursionError):
        return None


class Tally:
    """Counts what one worker skips of a subscription, and adds that to the store's numbers, a moment's at once."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._key = store.keys.filter(name)
        self._counts: Counter[str] = Counter()
        self._some = asyncio.Event()

    def add(self, stream: str, number: int) -> None:
        """Count."""
        if number:
            self._counts[stream] += number
            self._some.set()

    async def run(self) -> None:
        """Write what was counted, until cancelled; while the store is away it is kept."""
        while True:
            await self._some.wait()
            await self.write()
            await asyncio.sleep(_PAUSE)

    async def write(self) -> None:
        """Write what was counted so far."""
        counts, self._counts = self._counts, Counter()
        self._some.clear()
        commands = [("HINCRBY", self._key, f"{_SKIPPED}{stream}", number) for stream, number in counts.items()]
        replies = await self._store.commands(commands) if commands else []
        for (stream, number), reply in zip(counts.items(), replies, strict=True):
            if isinstance(reply, BaseException) and not is_refusal(reply):  # what is refused will be again
                self.add(stream, number)
