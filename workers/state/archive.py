"""How far the archive is: what its last round left undone, and how far each stream is."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from router.store.client import Store
from router.store.errors import forgiven
from router.store.reading import checked, named_values

__all__ = ["ArchiveState", "StreamState", "archive_state", "archived_streams", "note_round"]


@dataclass(frozen=True, slots=True)
class ArchiveState:
    """How the last round ended; times in epoch milliseconds, 0 for never.

    at: when it was. due: since when the oldest event should have been archived that is not, 0 where none is late.
    error: why.
    """

    at: int = 0
    due: int = 0
    error: str = ""

    def lag(self, now: float) -> float:
        """Return for how many seconds the oldest event is late, `now` in epoch seconds."""
        return max(0.0, now - self.due / 1000) if self.due else 0.0


@dataclass(frozen=True, slots=True)
class StreamState:
    """How far a stream is archived: the last entry that is, and how many events were."""

    stream: str
    position: str
    events: int


async def note_round(store: Store, overdue: int, error: str) -> None:
    """Write down how a round ended: `overdue` in milliseconds. Raises StoreUnavailable."""
    now = int(time.time() * 1000)
    fields = ("at", now, "due", now - overdue if overdue else 0, "error", error)
    checked(await store.commands([("HSET", store.keys.archive_state(), *fields)]))


async def archive_state(store: Store) -> ArchiveState:
    """Return how the last round ended, of whichever worker; raises StoreUnavailable."""
    key = store.keys.archive_state()
    found = _texts(checked(forgiven(await store.commands([("HGETALL", key)]), [key], {}))[0])
    return ArchiveState(_number(found, "at"), _number(found, "due"), found.get("error", ""))


async def archived_streams(store: Store, streams: Sequence[str]) -> list[StreamState]:
    """Return how far those of the streams are that are archived; raises StoreUnavailable."""
    keys = [store.keys.archived(stream) for stream in streams]
    replies = checked(forgiven(await store.commands([("HGETALL", key) for key in keys]), keys, {}))
    found = [(stream, _texts(reply)) for stream, reply in zip(streams, replies, strict=True)]
    known = [(stream, values) for stream, values in found if "position" in values]
    return [StreamState(stream, values["position"], _number(values, "events")) for stream, values in known]


def _texts(reply: Any) -> Mapping[str, str]:
    pairs = named_values(reply).items()
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in pairs}


def _number(values: Mapping[str, str], name: str) -> int:
    text = values.get(name, "")
    return int(text) if text.isdigit() and len(text) <= 15 else 0  # noqa: PLR2004 - what an exact number may have
