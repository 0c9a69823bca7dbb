"""The subscriptions that exist: those with a consumer group on a stream, whether a worker runs for them or not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from router.store.client import Store
from router.store.errors import is_no_group
from router.store.reading import checked

__all__ = ["Group", "existing_groups", "parse_groups"]


@dataclass(frozen=True, slots=True)
class Group:
    """A subscription on one stream; `lag` and `read`, how many events it was ever given, are None where not known."""

    name: str
    pending: int
    lag: int | None
    last_delivered: str
    read: int | None = None


async def existing_groups(store: Store, streams: Sequence[str]) -> dict[str, list[Group]]:
    """Return for each stream its subscriptions in order of name; one round trip for all."""
    replies = await store.commands([("XINFO", "GROUPS", store.keys.events(stream)) for stream in streams])
    return dict(zip(streams, map(parse_groups, replies), strict=True))


def parse_groups(reply: Any) -> list[Group]:
    """Read a reply of XINFO GROUPS, in which a stream that is not there yet has no groups."""
    if is_no_group(reply):
        return []
    rows: list[Mapping[bytes, Any]] = checked([reply])[0]
    groups = (
        Group(
            name=row[b"name"].decode(errors="backslashreplace"),  # a hand may have written anything
            pending=row[b"pending"],
            lag=row.get(b"lag"),
            last_delivered=row[b"last-delivered-id"].decode(),
            read=row.get(b"entries-read"),
        )
        for row in rows
    )
    return sorted(groups, key=lambda group: group.name)
