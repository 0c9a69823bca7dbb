"""What else knows of an event: the marker of its notification, that it was an echo, and which versions its record had.

Nothing lists these: they are found by the event. So they go before it.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from router.events.whose import Pair
from router.store.echoes import RecordOf
from router.store.reading import checked
from router.store.record import EVENT, GENERATION, ID, Fields, text_of
from workers.operations.erasing.found import Ground

__all__ = ["remove_traces"]

_AT_ONCE: Final = 1000


class _Path(msgspec.Struct):
    resource_path: str | None = None


_decode = msgspec.json.Decoder(_Path).decode


async def remove_traces(ground: Ground, events: Iterable[tuple[str, Fields, Pair]]) -> None:
    """Remove what is known of events besides themselves: stream, fields and whose each is. Raises StoreUnavailable.

    The marker of a notification stays until its window has passed, emptied: else the next repetition of the webhook,
    or a spool that is drained a second time, would bring back what was erased. It says no more than the id.
    """
    commands = [command for event in events for command in _commands(ground, *event)]
    for start in range(0, len(commands), _AT_ONCE):
        checked(await ground.store.commands(commands[start : start + _AT_ONCE]))


def _commands(ground: Ground, stream: str, fields: Fields, pair: Pair) -> Iterable[tuple[Any, ...]]:
    keys, id_, webhook = ground.store.keys, text_of(fields, ID), text_of(fields, GENERATION)
    for name in dict.fromkeys((id_, f"{id_}#{webhook}" if webhook else id_)):
        yield ("SET", keys.seen(stream, name), "", "XX", "KEEPTTL")
    for subscription in ground.groups.get(stream, ()):
        yield ("DEL", keys.echoed(stream, subscription, id_))
    if path := _path(fields):
        slug, (tenant, company) = stream.partition("/")[0], pair
        for name in dict.fromkeys((tenant, tenant or ground.tenant_of(slug))):
            yield ("DEL", keys.versions(RecordOf(slug, name, company, path)))


def _path(fields: Fields) -> str:
    try:
        path = _decode(fields.get(EVENT, b"")).resource_path
    except (ValueError, RecursionError):
        return ""
    return (path or "").removesuffix("/")
