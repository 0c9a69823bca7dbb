"""Consumer groups as the store has them: the subscriptions that exist, and which of their consumers live."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from router.store import scripts
from router.store.client import Store
from router.store.errors import forgiven, is_no_group, is_refusal, is_spoilt
from router.store.reading import checked


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


async def create_groups(store: Store, name: str, keys: Mapping[str, str]) -> tuple[int, set[str]]:
    """Create the groups that are missing on these keys, each from an entry on; return how many, and the spoilt keys.

    Spoilt is a key that holds something else than a stream. Raises StoreUnavailable.
    """
    commands = [("XGROUP", "CREATE", key, name, first, "MKSTREAM") for key, first in keys.items()]
    made, spoilt = 0, set()
    for key, reply in zip(keys, await store.commands(commands), strict=True):
        if not isinstance(reply, BaseException):
            made += 1
        elif is_spoilt(reply):
            spoilt.add(key)
        elif not (is_refusal(reply) and "BUSYGROUP" in str(reply)):
            raise reply
    return made, spoilt


async def live_consumers(store: Store, names: Sequence[str], lease: float) -> dict[str, list[str]]:
    """Return the consumers of each subscription that were heard of within `lease` seconds; raises StoreUnavailable."""
    keys = [store.keys.consumers(name) for name in names]
    replies = await store.run([scripts.alive(key, int(lease * 1000)) for key in keys]) if keys else []
    found = dict(zip(names, checked(forgiven(replies, keys, [])), strict=True))
    return {name: [who.decode(errors="backslashreplace") for who in consumers] for name, consumers in found.items()}


def name_of(raw: bytes) -> str:
    """Return the name of a consumer or group; bytes that are no text, which a hand wrote, come back by `raw_of`."""
    return raw.decode(errors="surrogateescape")


def raw_of(name: str) -> bytes:
    """Return a name as the server has it."""
    return name.encode(errors="surrogateescape")
