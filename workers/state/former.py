"""Former streams: those of publishers and event types that have left the catalogue, and what may still be in them.

Nothing searches the store for streams. So each round of retention writes down, with the time, those of its catalogue;
what is written down and is not in the catalogue any more is a former stream.
"""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from router.events.catalogue import Catalogue
from router.store.client import Store
from router.store.errors import forgiven
from router.store.reading import checked, moment_of

_LATEST = 1e15  # milliseconds


async def note_streams(store: Store, catalogue: Catalogue) -> None:
    """Write down the streams of the catalogue; raises StoreUnavailable."""
    now = int(time.time() * 1000)
    pairs = [part for stream in catalogue.streams() for part in (now, stream)]
    checked(await store.commands([("ZADD", store.keys.streams(), *pairs)]))


async def former_streams(store: Store, catalogue: Catalogue) -> Mapping[str, datetime]:
    """Return the former streams, each with when a worker last had it in its catalogue; raises StoreUnavailable."""
    key = store.keys.streams()
    replies = await store.commands([("ZRANGEBYSCORE", key, "-inf", "+inf", "WITHSCORES")])
    rows: list[tuple[bytes, Any]] = checked(forgiven(replies, [key], []))[0]
    noted = {name.decode(errors="replace"): _moment(float(score)) for name, score in rows}
    known = set(catalogue.streams())
    return {stream: at for stream, at in sorted(noted.items()) if stream not in known}


def _moment(score: float) -> datetime:
    """Return the time that a score says; any that a calendar can have for one that a hand wrote."""
    return moment_of(f"{min(max(0, score), _LATEST):.0f}-0")


async def all_streams(store: Store, catalogue: Catalogue) -> list[str]:
    """Return the streams of the catalogue, and the former ones; raises StoreUnavailable."""
    return [*catalogue.streams(), *await former_streams(store, catalogue)]
