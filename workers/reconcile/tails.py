"""What each stream ended with, and whether the store has lost that since: its last second, as in a failover."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from router.store.client import Store
from router.store.errors import forgiven, is_refusal
from router.store.reading import checked, last_ids, named_values, order_of

__all__ = ["lost_tails", "tails"]

_NONE: Final = "0-0"
_GONE: Final = "no such key"


async def tails(store: Store, streams: Sequence[str]) -> dict[str, str]:
    """Return the newest entry of each stream that has one; raises StoreUnavailable."""
    keys = {stream: store.keys.events(stream) for stream in streams}
    found = await last_ids(store, list(keys.values()))
    return {stream: found[key] for stream, key in keys.items() if found[key] != _NONE}


async def lost_tails(store: Store, ends: Mapping[str, str]) -> list[str]:
    """Return the streams that ended with these entries and have lost them since; raises StoreUnavailable.

    What was removed is not lost: by retention, then the stream goes on behind it or says that it has had it, or alone.
    """
    keys = [store.keys.events(stream) for stream in ends]
    there = [("XRANGE", key, entry_id, entry_id) for key, entry_id in zip(keys, ends.values(), strict=True)]
    found = checked(forgiven(await store.commands(there), keys, [])) if keys else []
    missing = [stream for stream, entries in zip(ends, found, strict=True) if not entries]
    asked = [("XINFO", "STREAM", store.keys.events(stream)) for stream in missing]
    replies = await store.commands(asked) if asked else []
    return [stream for stream, info in zip(missing, replies, strict=True) if _has_lost(info, ends[stream])]


def _has_lost(info: Any, entry_id: str) -> bool:
    if is_refusal(info) and _GONE in str(info).lower():
        return True
    state, place = named_values(checked([info])[0]), order_of(entry_id)
    if order_of(state[b"last-generated-id"]) < place:
        return True
    if order_of(state.get(b"max-deleted-entry-id", _NONE)) >= place:
        return False
    first, was_never_trimmed = state[b"first-entry"], state.get(b"entries-added") == state[b"length"]
    return was_never_trimmed or bool(first and order_of(first[0]) < place)
